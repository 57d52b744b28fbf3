//! Benchmarks. Those of single parts are in `micro/`; `README.md` says how to run them.
