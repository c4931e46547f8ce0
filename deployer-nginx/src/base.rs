//! The files that do not change with a switch.

use std::{fmt::Write as _, path::Path};

use deployer_core::model::WorkloadId;

use crate::{
    choice::RouterKind, live, names, paths::Paths, server::ServerCapabilities, settings::NginxSettings,
};

/// What the configuration includes in `http {}`: the control server, and the files of the workloads.
pub(crate) fn http(paths: &Paths, settings: &NginxSettings, kind: RouterKind) -> String {
    http_with(paths, settings, kind, &paths.workloads())
}

/// The same with the files of the workloads in another directory.
pub(crate) fn http_with(
    paths: &Paths,
    settings: &NginxSettings,
    kind: RouterKind,
    workloads: &Path,
) -> String {
    let (before, inside) = match kind {
        RouterKind::Reload => (String::new(), String::new()),
        RouterKind::Live => (live::http(settings), live::control(paths)),
    };
    format!(
        "# Written by deployer; include it in http {{}}.\n{before}\
         map $http_upgrade $deployer_connection {{\n    \"\" \"\";\n    default upgrade;\n}}\n\
         map $http_host $deployer_host {{\n    \"\" $host;\n    default $http_host;\n}}\n\
         server {{\n    listen unix:{socket};\n    access_log off;\n    default_type text/plain;\n    \
         location = /server {{\n        return 200 \"$pid\";\n    }}\n    \
         include {markers}/*.conf;\n{inside}}}\n\
         include {workloads}/*.conf;\n",
        socket = paths.control_socket().display(),
        markers = paths.directory().join("markers").display(),
        workloads = workloads.display(),
    )
}

/// Which generation of a workload runs, and which worker says so.
pub(crate) fn marker(workload: &WorkloadId) -> String {
    let name = names::workload(workload);
    format!(
        "# Written by deployer.\nlocation = {} {{\n    return 200 \"${name}_gen $pid\";\n}}\n",
        marker_path(workload)
    )
}

/// Where the marker of a workload is asked on the control socket.
pub(crate) fn marker_path(workload: &WorkloadId) -> String {
    format!("/generation/{workload}")
}

/// What the configuration includes in the location of a workload.
pub(crate) fn location(
    workload: &WorkloadId,
    paths: &Paths,
    settings: &NginxSettings,
    can: &ServerCapabilities,
    kind: RouterKind,
) -> String {
    let head = match kind {
        RouterKind::Reload => reloading(workload),
        RouterKind::Live => live::location(workload, paths),
    };
    let mut text = format!(
        "{}{workload}.\n{head}\
         proxy_http_version 1.1;\n\
         proxy_set_header Host $deployer_host;\n\
         proxy_set_header X-Real-IP $remote_addr;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         proxy_set_header X-Forwarded-Proto $scheme;\n\
         proxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection $deployer_connection;\n\
         proxy_connect_timeout {}ms;\n\
         proxy_next_upstream error timeout;\n\
         proxy_next_upstream_tries {};\n",
        first_words(kind),
        settings.connect_timeout.as_millis(),
        settings.tries,
    );
    if !settings.buffering {
        text.push_str("proxy_buffering off;\n");
    }
    if !settings.closing_time.is_zero() && kind == RouterKind::Reload {
        let closing = settings.paths().closing();
        let _ = writeln!(text, "set $deployer_closing \"\";");
        let _ = writeln!(text, "if (-f {}) {{\n    set $deployer_closing close;\n}}", closing.display());
        text.push_str("add_header Connection $deployer_closing always;\n");
    }
    if settings.stickiness.is_some() && kind == RouterKind::Reload {
        let _ = writeln!(text, "add_header Set-Cookie ${}_cookie always;", names::workload(workload));
    }
    if can.keepalive_min_timeout.available && !settings.keepalive_min_timeout.is_zero() {
        let _ = writeln!(text, "keepalive_min_timeout {}ms;", settings.keepalive_min_timeout.as_millis());
    }
    text
}

/// For which kind of router a location is; `None` if it is not ours.
pub(crate) fn kind_of(location: &str) -> Option<RouterKind> {
    [RouterKind::Reload, RouterKind::Live].into_iter().find(|kind| location.starts_with(&first_words(*kind)))
}

fn first_words(kind: RouterKind) -> String {
    format!("# Written by deployer for its {kind}; include it in the location of ")
}

/// Answers and members as the file of the workload has them.
fn reloading(workload: &WorkloadId) -> String {
    let name = names::workload(workload);
    format!(
        "types {{ }}\n\
         default_type text/plain;\n\
         if (${name}_maint) {{\n    add_header Retry-After ${name}_retry always;\n    \
         return 503 \"${name}_message\";\n}}\n\
         proxy_pass http://${name}_upstream;\n"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::settings::Stickiness;

    fn of(build: &str, settings: &NginxSettings) -> String {
        let can = ServerCapabilities::read(build, Ok("")).unwrap();
        location(&WorkloadId::new("web").unwrap(), &Paths::new("/etc"), settings, &can, RouterKind::Reload)
    }

    #[test]
    fn connections_are_kept_over_a_reload_where_nginx_can() {
        let settings = NginxSettings::default();
        let old = of("nginx version: nginx/1.27.3", &settings);
        assert!(!old.contains("keepalive_min_timeout"), "{old}");
        let new = of("nginx version: nginx/1.27.4", &settings);
        assert!(new.contains("keepalive_min_timeout 5000ms;"), "{new}");
        let off = NginxSettings { keepalive_min_timeout: Duration::ZERO, ..settings };
        assert!(!of("nginx version: nginx/1.27.4", &off).contains("keepalive_min_timeout"));
    }

    #[test]
    fn what_is_not_asked_for_is_not_written() {
        let plain = of("nginx version: nginx/1.22.1", &NginxSettings::default());
        assert!(
            !plain.contains("closing") && !plain.contains("Set-Cookie") && !plain.contains("proxy_buffering"),
            "{plain}"
        );
        let settings = NginxSettings {
            stickiness: Some(Stickiness::default()),
            buffering: false,
            ..NginxSettings::default()
        };
        let text = of("nginx version: nginx/1.22.1", &settings);
        assert!(text.contains("add_header Set-Cookie") && text.contains("proxy_buffering off;"), "{text}");
    }
}
