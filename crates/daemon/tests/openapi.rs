//! The OpenAPI document in `docs/` is the one that the daemon serves.

use banger_api::routes;

const CHECKED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

#[test]
fn the_checked_in_openapi_document_is_the_one_that_is_served() {
    let served = banger_daemon::openapi() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(CHECKED_IN, &served).expect("docs/ can be written");
    }
    let checked_in = std::fs::read_to_string(CHECKED_IN).unwrap_or_default();
    assert!(
        checked_in == served,
        "docs/openapi.json is not what the daemon serves; look at the difference of \
         UPDATE_OPENAPI=1 cargo nextest run -p banger-daemon --test openapi"
    );
}

#[test]
fn every_route_is_in_the_document() {
    let document: serde_json::Value =
        serde_json::from_str(&banger_daemon::openapi()).expect("it is JSON");
    for route in [
        routes::DAEMON,
        routes::DAEMON_STOP,
        routes::DOCTOR,
        routes::VMS,
        routes::VMS_PRUNE,
        routes::VM,
        routes::VM_START,
        routes::VM_STOP,
        routes::VM_RESTART,
        routes::VM_KILL,
        routes::VM_EXEC,
        routes::VM_PUT_FILES,
        routes::VM_GET_FILES,
        routes::VM_CONNECT,
        routes::VM_LOGS,
        routes::VM_STATS,
        routes::VM_PORTS,
        routes::VM_HEALTH,
        routes::IMAGES,
        routes::IMAGES_BUILD,
        routes::IMAGES_REGISTER,
        routes::IMAGE,
        routes::KERNELS,
        routes::KERNELS_IMPORT,
        routes::KERNEL,
        routes::OPERATIONS,
        routes::OPERATION,
        routes::OPERATION_EVENTS,
        routes::OPERATION_CANCEL,
        routes::SYSTEM_RESOURCES,
        routes::SYSTEM_SWEEP,
    ] {
        assert!(!document["paths"][route].is_null(), "{route} is missing");
    }
}
