//! Things of the API for tests.

use serde_json::{Value, json};

use crate::fake_daemon::{Answer, Asked};

/// The operation of every sample.
pub const OPERATION: &str = "0193a5b0-0000-7000-8000-00000000000f";

/// A VM; `n` makes its id.
pub fn vm(name: &str, n: u8, state: &str) -> Value {
    json!({
        "id": format!("0193a5b0-0000-7000-8000-0000000000{n:02x}"), "name": name, "state": state,
        "image": "debian-minimal", "kernel": "debian-cloud", "own_kernel": false, "engine": "qemu", "vcpu": 2,
        "memory_mib": 2048, "disk_bytes": 8_589_934_592_u64, "overlay_bytes": 8_589_934_592_u64,
        "net": "user", "egress": "all", "stack": "slirp", "rules": [], "reaches_host": false, "publish": [], "address": null,
        "created_at": "2026-01-01T00:00:00.000Z", "started_at": null, "ephemeral": false,
        "restart": "no", "labels": {}, "restart_needed": false, "error": null, "exit": null,
        "conditions": [], "jail": null, "runs": null,
    })
}

/// The answer to a request that starts an operation.
pub fn accepted(vm: Value) -> Answer {
    Answer::Json(202, json!({"operation": OPERATION, "vm": vm}))
}

/// Event number `seq`.
pub fn event(seq: u64, kind: Value) -> Value {
    let mut event = json!({"seq": seq, "at": "2026-01-01T00:00:00Z"});
    event
        .as_object_mut()
        .unwrap()
        .extend(kind.as_object().unwrap().clone());
    event
}

/// A stage that begins.
pub fn stage(seq: u64, name: &str) -> Value {
    event(
        seq,
        json!({"event": "stage", "stage": name, "detail": null, "done": null, "total": null}),
    )
}

/// The end of an operation.
pub fn finished(seq: u64, state: &str, error: Option<Value>) -> Value {
    event(
        seq,
        json!({"event": "finished", "state": state, "error": error}),
    )
}

/// Two VMs, `web` (1) and `db` (2), on which every operation succeeds.
pub fn two_vms(asked: &Asked) -> Answer {
    let web = || vm("web", 1, "running");
    let db = || vm("db", 2, "stopped");
    let path = asked.what.split(' ').nth(1).unwrap_or_default();
    if path.contains("/operations/") {
        return Answer::events([stage(0, "stop"), finished(1, "done", None)]);
    }
    let known = match path.split('/').nth(3).unwrap_or_default() {
        "" => return Answer::ok([web(), db()]),
        "web" => web(),
        "db" => db(),
        id if id.ends_with("01") => web(),
        id if id.ends_with("02") => db(),
        other => {
            return Answer::error(404, "not_found", &format!("no VM is called \"{other}\""));
        }
    };
    if asked.what.starts_with("GET") {
        return Answer::ok(known);
    }
    accepted(known)
}
