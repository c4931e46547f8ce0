//! Finds its way in an nginx configuration that is there, and says what to add to it. Nothing is written.

mod files;
