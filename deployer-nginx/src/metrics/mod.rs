//! How sets answer, as nginx says: by the counters of the live router, or by an access log.

mod access_log;
mod access_log_entry;
mod access_log_file;
mod access_log_format;
mod access_log_owners;
mod access_log_reader;
mod histogram;
mod live;
mod seconds;

pub use access_log::AccessLogMetrics;
pub use access_log_format::{LOG_FORMAT, LOG_FORMAT_NAME, access_log_line};
pub use access_log_reader::LogReading;
pub use live::LiveMetrics;
