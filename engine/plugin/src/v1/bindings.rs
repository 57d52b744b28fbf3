//! The host's side of `wit/v1`, generated. Every import may trap: that is how call limits act.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    reason = "generated from WIT"
)]

wasmtime::component::bindgen!({
    path: "../../wit/v1",
    world: "every-hook",
    imports: { default: trappable },
});
