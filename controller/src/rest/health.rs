//! Whether this member is well, for load balancers and people; who asks need not be known.

use http::{Response, StatusCode};
use serde_json::json;
use tonic::body::Body;

use super::{KUBERNETES, answer, asked::Asked};
use quorate_store::Store;

/// The paths under which health is told.
pub(super) const PATHS: [&str; 3] = ["healthz", "livez", "readyz"];

/// The answer to `/healthz`, `/livez` and `/readyz`. Living is answering; being ready takes a leader, without whom
/// nothing but stale reads can be served.
pub(super) fn check(which: &str, asked: &Asked, store: &Store) -> Response<Body> {
    let leader = which == "livez" || store.leadership().borrow().leader.is_some();
    let mut words = String::from("[+]ping ok\n");
    if which != "livez" {
        words.push_str(if leader {
            "[+]leader ok\n"
        } else {
            "[-]leader failed: no leader is known\n"
        });
    }
    words.push_str(which);
    words.push_str(if leader {
        " check passed\n"
    } else {
        " check failed\n"
    });
    if !leader {
        return answer::text(StatusCode::INTERNAL_SERVER_ERROR, &words);
    }
    if asked.query.flag("verbose").is_some() {
        answer::text(StatusCode::OK, &words)
    } else {
        answer::text(StatusCode::OK, "ok")
    }
}

/// The answer to `/version`.
pub(super) fn version() -> Response<Body> {
    let (major, minor) = KUBERNETES;
    let own = env!("CARGO_PKG_VERSION");
    let version = json!({
        "major": major,
        "minor": minor,
        "gitVersion": format!("v{major}.{minor}.0+quorate-{own}"),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, platform()),
    });
    answer::json(StatusCode::OK, &version)
}

/// The processor, as clients of Kubernetes call it.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
