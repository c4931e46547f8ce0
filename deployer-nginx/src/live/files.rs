//! What the live router needs in the configuration, and its Lua code.

use deployer_core::model::WorkloadId;

use crate::{paths::Paths, settings::NginxSettings};

/// The Lua code, by the name of its file.
pub(crate) const LUA: [(&str, &str); 8] = [
    ("load.lua", include_str!("../../lua/load.lua")),
    ("text.lua", include_str!("../../lua/text.lua")),
    ("workers.lua", include_str!("../../lua/workers.lua")),
    ("metrics.lua", include_str!("../../lua/metrics.lua")),
    ("workloads.lua", include_str!("../../lua/workloads.lua")),
    ("choice.lua", include_str!("../../lua/choice.lua")),
    ("live.lua", include_str!("../../lua/live.lua")),
    ("control.lua", include_str!("../../lua/control.lua")),
];

/// The upstream of all workloads.
pub(crate) const UPSTREAM: &str = "deployer_live";

/// What belongs into `http {}`: memory, the upstream, and the end of requests. That is looked at for all requests,
/// since one of ours may end elsewhere, at an error page of the user's.
pub(crate) fn http(settings: &NginxSettings) -> String {
    let mut keepalive = String::new();
    if settings.keepalive > 0 {
        keepalive = format!(
            "    keepalive {};\n    keepalive_timeout {}ms;\n    keepalive_requests 1000000;\n",
            settings.keepalive,
            settings.member_idle.as_millis()
        );
    }
    format!(
        "lua_shared_dict deployer 32m;\n\
         lua_shared_dict deployer_metrics 32m;\n\
         upstream {UPSTREAM} {{\n    server 0.0.0.1;\n    balancer_by_lua_block {{\n        \
         package.loaded[\"deployer.live\"].balance()\n    }}\n{keepalive}}}\n\
         log_by_lua_block {{\n    local live = package.loaded[\"deployer.live\"]\n    if live then live.log(false) end\n}}\n"
    )
}

/// What belongs into the control server.
pub(crate) fn control(paths: &Paths) -> String {
    format!(
        "    location /live/ {{\n        lua_code_cache on;\n        client_max_body_size 4m;\n        \
         client_body_buffer_size 4m;\n        content_by_lua_block {{\n            {load}\n            \
         live.control()\n        }}\n    }}\n",
        load = load(paths)
    )
}

/// What belongs into the location of a workload, before the settings of its proxy.
pub(crate) fn location(workload: &WorkloadId, paths: &Paths) -> String {
    let own = |part: &str| {
        format!(
            "    set_by_lua_block $deployer_{part} {{\n        return \
             package.loaded[\"deployer.live\"].own_answer(\"{workload}\", \"{part}\")\n    }}\n"
        )
    };
    format!(
        "lua_code_cache on;\n\
         log_subrequest on;\n\
         set_by_lua_block $deployer_own {{\n    {load}\n    return live.enter(\"{workload}\")\n}}\n\
         if ($deployer_own) {{\n{retry}{message}    \
         add_header Retry-After $deployer_retry always;\n    \
         add_header Cache-Control no-store always;\n    \
         return 503 $deployer_message;\n}}\n\
         log_by_lua_block {{\n    package.loaded[\"deployer.live\"].log(true)\n}}\n\
         proxy_pass http://{UPSTREAM};\n",
        load = load(paths),
        retry = own("retry"),
        message = own("message"),
    )
}

fn load(paths: &Paths) -> String {
    let file = paths.lua().join("load.lua");
    format!("local live = package.loaded[\"deployer.live\"] or dofile(\"{}\")", file.display())
}
