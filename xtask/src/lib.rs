//! Builds, runs, tests and checks Holdfast.
