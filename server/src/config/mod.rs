//! The configuration file: language, options, check.
