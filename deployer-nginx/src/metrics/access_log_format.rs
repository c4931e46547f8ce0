//! The form of log lines that can be counted.

use std::path::Path;

use deployer_core::error::Problem;

/// The name of [`LOG_FORMAT`].
pub const LOG_FORMAT_NAME: &str = "deployer_outcomes";

/// The form of log lines that [`AccessLogMetrics`](super::AccessLogMetrics) counts, for `http {}`. One JSON object a
/// line; nothing of the request itself is in it. Needs nginx 1.11.8.
///
/// ```
/// assert!(deployer_nginx::metrics::LOG_FORMAT.starts_with("log_format deployer_outcomes escape=json"));
/// ```
pub const LOG_FORMAT: &str = concat!(
    "log_format deployer_outcomes escape=json '{\"time\":$msec,\"status\":\"$status\",",
    "\"took\":\"$request_time\",\"members\":\"$upstream_addr\",\"answers\":\"$upstream_status\",",
    "\"heads\":\"$upstream_header_time\"}';\n"
);

/// The line that writes such a log, for the `location` or `server` whose requests count. Other `access_log` lines
/// beside it go on working; those of an outer block do not, as nginx inherits them only where there is none.
///
/// No buffer, so that a request is counted when it has ended.
///
/// # Errors
/// The path is not absolute, or has characters that mean something to nginx.
///
/// ```
/// use deployer_nginx::metrics::access_log_line;
/// let line = access_log_line("/var/log/nginx/outcomes.log".as_ref()).unwrap();
/// assert_eq!(line, "access_log /var/log/nginx/outcomes.log deployer_outcomes;\n");
/// assert!(access_log_line("/var/log/a b;".as_ref()).is_err());
/// ```
pub fn access_log_line(path: &Path) -> Result<String, Problem> {
    match crate::settings::unusable(path) {
        Some(why) => Err(Problem::new("path", why)),
        None => Ok(format!("access_log {} {LOG_FORMAT_NAME};\n", path.display())),
    }
}
