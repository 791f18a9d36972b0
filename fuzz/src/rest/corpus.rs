//! Requests as clients send them. Nothing in here says what is kept secret in the worlds.

/// One request.
#[derive(Clone, Copy)]
pub(super) struct Model {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) query: &'static str,
    pub(super) accept: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: &'static str,
}

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const MERGE: &str = "application/merge-patch+json";
const STEPS: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

const fn get(path: &'static str, query: &'static str, accept: &'static str) -> Model {
    Model {
        method: "GET",
        path,
        query,
        accept,
        content_type: "",
        body: "",
    }
}

const fn send(
    method: &'static str,
    path: &'static str,
    query: &'static str,
    content_type: &'static str,
    body: &'static str,
) -> Model {
    Model {
        method,
        path,
        query,
        accept: JSON,
        content_type,
        body,
    }
}

macro_rules! own {
    ($rest:literal) => {
        concat!("/apis/quorate.dev/v1alpha1/", $rest)
    };
}

const NETWORK: &str = r#"{"apiVersion":"quorate.dev/v1alpha1","kind":"Network","metadata":{"name":"open","labels":{"tier":"front"}},"spec":{"addressing":"None","mtu":9000}}"#;
const HIDDEN: &str = r#"{"apiVersion":"quorate.dev/v1alpha1","kind":"Network","metadata":{"name":"hidden"},"spec":{"addressing":"None"}}"#;
const NEW_NETWORK: &str = r#"{"apiVersion":"quorate.dev/v1alpha1","kind":"Network","metadata":{"name":"a","creationTimestamp":null},"spec":{"addressing":"None"},"status":{}}"#;
const SECRET: &str = r#"{"apiVersion":"quorate.dev/v1alpha1","kind":"Secret","metadata":{"name":"vault"},"spec":{"data":{"k":"YQ=="},"stringData":{"l":"x"}}}"#;
const ROLE: &str = r#"{"apiVersion":"quorate.dev/v1alpha1","kind":"Role","metadata":{"name":"narrow"},"spec":{"rules":[{"kinds":["*","cluster/*"],"verbs":["*"]}]}}"#;
const BINDING: &str = r#"{"apiVersion":"quorate.dev/v1alpha1","kind":"RoleBinding","metadata":{"name":"more"},"spec":{"role":"admin","subjects":[{"kind":"User","name":"ned"},{"kind":"User","name":"eve"}]}}"#;
const REVIEW: &str = r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":{"verb":"get","group":"quorate.dev","resource":"secrets","name":"vault"}}}"#;
const RULES: &str = r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectRulesReview","spec":{"namespace":"default"}}"#;
const WHO: &str = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
const OPTIONS: &str = r#"{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Foreground","preconditions":{"uid":"u","resourceVersion":"7"},"dryRun":["All"]}"#;

pub(super) const MODELS: &[Model] = &[
    get(own!("networks"), "", JSON),
    get(own!("networks"), "limit=1", TABLE),
    get(
        own!("networks"),
        "labelSelector=tier%20in%20(front)&fieldSelector=metadata.name%3Dopen",
        METADATA,
    ),
    get(own!("networks"), "resourceVersion=0", JSON),
    get(
        own!("networks"),
        "resourceVersion=7&resourceVersionMatch=Exact",
        JSON,
    ),
    get(own!("networks"), "limit=1&continue=AAAA", JSON),
    get(own!("networks"), "watch=1&timeoutSeconds=1", JSON),
    get(
        own!("networks"),
        "watch=1&resourceVersion=5&allowWatchBookmarks=true",
        TABLE,
    ),
    get(
        own!("networks"),
        "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
        JSON,
    ),
    get(own!("networks/open"), "", JSON),
    get(own!("networks/open"), "watch=1", JSON),
    get(own!("networks/hidden"), "", TABLE),
    get(own!("networks/open/status"), "", JSON),
    get(own!("secrets"), "", JSON),
    get(own!("secrets"), "watch=1", JSON),
    get(own!("secrets/vault"), "", JSON),
    get(
        own!("secrets"),
        "fieldSelector=metadata.name%3Dvault",
        TABLE,
    ),
    get(own!("nodes/an1"), "", JSON),
    get(own!("nodes"), "includeObject=Object", TABLE),
    get(own!("roles"), "", JSON),
    get(own!("rolebindings/narrow"), "", JSON),
    get(own!("events"), "", JSON),
    get(own!("nodeplans"), "fieldSelector=spec.node%3Dan1", JSON),
    get("/api/v1/events", "", TABLE),
    get(
        "/api/v1/namespaces/default/events",
        "fieldSelector=involvedObject.name%3Dopen",
        JSON,
    ),
    get("/api/v1/namespaces/default/events/e1", "", JSON),
    get("/api/v1/events", "watch=1", JSON),
    get("/api", "", AGGREGATED),
    get("/apis", "", AGGREGATED),
    get("/apis", "", JSON),
    get("/apis/quorate.dev", "", JSON),
    get(own!(""), "", JSON),
    get("/openapi/v2", "", JSON),
    get("/openapi/v3", "", JSON),
    get("/openapi/v3/apis/quorate.dev/v1alpha1", "hash=x", JSON),
    get(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "",
        JSON,
    ),
    get(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "watch=1",
        JSON,
    ),
    get(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/secrets.quorate.dev",
        "",
        JSON,
    ),
    get("/version", "", JSON),
    get("/readyz", "verbose", "*/*"),
    get("/metrics", "", "text/plain"),
    send(
        "POST",
        own!("networks"),
        "fieldManager=x",
        JSON,
        NEW_NETWORK,
    ),
    send("POST", own!("networks"), "dryRun=All", JSON, NEW_NETWORK),
    send(
        "POST",
        own!("networks"),
        "fieldValidation=Strict",
        YAML,
        "apiVersion: quorate.dev/v1alpha1\nkind: Network\nmetadata: {name: b}\nspec: {addressing: None}\n",
    ),
    send("POST", own!("secrets"), "", JSON, SECRET),
    send("POST", own!("roles"), "", JSON, ROLE),
    send("POST", own!("rolebindings"), "", JSON, BINDING),
    send("PUT", own!("networks/open"), "", JSON, NETWORK),
    send("PUT", own!("networks/hidden"), "", JSON, HIDDEN),
    send("PUT", own!("networks/open/status"), "", JSON, NETWORK),
    send("PUT", own!("secrets/vault"), "", JSON, SECRET),
    send("PUT", own!("roles/narrow"), "", JSON, ROLE),
    send(
        "PATCH",
        own!("networks/open"),
        "",
        MERGE,
        r#"{"spec":{"mtu":1400},"metadata":{"labels":{"a":"b"},"finalizers":["example.org/x"]}}"#,
    ),
    send(
        "PATCH",
        own!("networks/open"),
        "",
        STEPS,
        r#"[{"op":"test","path":"/spec/mtu","value":9000},{"op":"copy","from":"/metadata","path":"/metadata/annotations"},{"op":"add","path":"/spec/mtu","value":1500},{"op":"move","from":"/spec","path":"/spec/x"},{"op":"remove","path":"/metadata/labels"}]"#,
    ),
    send(
        "PATCH",
        own!("networks/open"),
        "fieldManager=git&force=true",
        APPLY,
        NETWORK,
    ),
    send(
        "PATCH",
        own!("networks/open/status"),
        "",
        MERGE,
        r#"{"status":{"observedGeneration":1}}"#,
    ),
    send(
        "PATCH",
        own!("networks/hidden"),
        "",
        MERGE,
        r#"{"metadata":{"annotations":null}}"#,
    ),
    send(
        "PATCH",
        own!("secrets/vault"),
        "",
        STEPS,
        r#"[{"op":"test","path":"/spec/data/k","value":"YQ=="}]"#,
    ),
    send(
        "PATCH",
        own!("secrets/vault"),
        "fieldManager=git",
        APPLY,
        SECRET,
    ),
    send(
        "PATCH",
        own!("nodes/an1/status"),
        "",
        MERGE,
        r#"{"status":{}}"#,
    ),
    send("DELETE", own!("networks/a"), "", JSON, OPTIONS),
    send(
        "DELETE",
        own!("secrets/vault"),
        "propagationPolicy=Orphan",
        "",
        "",
    ),
    send("DELETE", own!("networks"), "labelSelector=tier", "", ""),
    send("DELETE", own!("secrets"), "dryRun=All", JSON, OPTIONS),
    send(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        "",
        JSON,
        REVIEW,
    ),
    send(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        "",
        JSON,
        RULES,
    ),
    send(
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        "",
        JSON,
        WHO,
    ),
];

pub(super) const METHODS: &[&str] = &[
    "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "LIST", "get",
];

/// Parts of paths, as they stand between slashes.
pub(super) const STEPS_OF_PATHS: &[&str] = &[
    "open",
    "hidden",
    "vault",
    "an1",
    "a",
    "status",
    "scale",
    "",
    ".",
    "..",
    "%2e%2e",
    "%2f",
    "%252f",
    "%2F..%2Fsecrets",
    "networks%2fhidden",
    "secrets",
    "networks",
    "nodes",
    "events",
    "roles",
    "rolebindings",
    "nodeplans",
    "Secrets",
    "secret",
    "v1alpha1",
    "v1",
    "quorate.dev",
    "api",
    "apis",
    "namespaces",
    "default",
    "watch",
    "proxy",
    "%00",
    "vault%00",
    "%ff%fe",
    "%",
    "%zz",
    "%F0%9F%A6%80",
    "a%20b",
    "a,b=c",
    "metadata.name=vault",
    "*",
    ";",
    "healthz",
    "metrics",
    "customresourcedefinitions",
    "apiextensions.k8s.io",
    "authorization.k8s.io",
    "quorate:node:an1",
];

/// Parts of queries.
pub(super) const PARTS_OF_QUERIES: &[&str] = &[
    "watch=1",
    "watch=true&watch=false",
    "watch",
    "timeoutSeconds=0",
    "timeoutSeconds=99999999999999999999",
    "timeoutSeconds=-1",
    "limit=-1",
    "limit=18446744073709551615",
    "limit=1e3",
    "continue=AAAA",
    "continue=%00",
    "continue=eyJ2IjoxfQ",
    "resourceVersion=18446744073709551615",
    "resourceVersion=-1",
    "resourceVersion=0x10",
    "resourceVersionMatch=Exact",
    "resourceVersionMatch=NotOlderThan",
    "sendInitialEvents=true",
    "allowWatchBookmarks=1",
    "labelSelector=%28%28",
    "labelSelector=a%20in%20%28b%2Cc%29%2C%21d",
    "labelSelector=a%3D%3D%3Db",
    "fieldSelector=metadata.name%3Dvault",
    "fieldSelector=metadata.name%3Dopen%2Cmetadata.name%3Dvault",
    "fieldSelector=metadata.name!%3Dopen",
    "fieldSelector=spec.data.k%3DYQ%3D%3D",
    "fieldSelector=spec.node%3Dan1",
    "fieldSelector=%5C%2C%3D",
    "fieldManager=",
    "fieldManager=%00",
    "fieldManager=%F0%9F%A6%80",
    "force=true",
    "dryRun=All",
    "dryRun=All&dryRun=None",
    "dryRun=",
    "fieldValidation=Ignore",
    "fieldValidation=Strict",
    "fieldValidation=Nonsense",
    "propagationPolicy=Foreground",
    "orphanDependents=true",
    "includeObject=Object",
    "includeObject=None",
    "pretty=true",
    "as=admin",
    "=",
    "&&&",
    "%zz=%",
    "%00=%ff",
    "a=b=c=d",
    ";",
];

/// Headers that mean something to somebody.
pub(super) const HEADERS: &[(&str, &[u8])] = &[
    ("accept", b"application/vnd.kubernetes.protobuf"),
    ("accept", b"application/json;as=Table;v=v9;g=meta.k8s.io"),
    ("accept", b",;=,;;q=0,*/*"),
    ("accept", b"\xff\xfe"),
    ("content-type", b"application/strategic-merge-patch+json"),
    ("content-type", b"application/json; charset=utf-16"),
    ("content-type", b"application/apply-patch+yaml"),
    ("content-type", b"application/merge-patch+json"),
    ("content-type", b"\xff"),
    ("content-encoding", b"gzip"),
    ("content-length", b"-1"),
    ("impersonate-user", b"admin"),
    ("impersonate-group", b"quorate:admins"),
    ("impersonate-extra-x", b""),
    ("x-remote-user", b"admin"),
    ("x-remote-group", b"quorate:admins"),
    ("x-forwarded-for", b"127.0.0.1"),
    (
        "x-forwarded-client-cert",
        b"Subject=\"CN=admin,O=quorate:admins\"",
    ),
    ("x-http-method-override", b"DELETE"),
    ("authorization", b"Bearer "),
    ("authorization", b"Bearer quorate-token"),
    ("authorization", b"Basic YWRtaW46YWRtaW4="),
    ("authorization", b"\xff"),
    ("cookie", b"token=admin"),
    ("sec-fetch-site", b"cross-site"),
    ("sec-fetch-site", b"same-origin"),
    ("user-agent", b""),
    ("user-agent", b"/////"),
    ("user-agent", b"\xf0\x9f\xa6\x80"),
    ("upgrade", b"websocket"),
    ("expect", b"100-continue"),
    ("if-none-match", b"*"),
    ("host", b"../../etc/passwd"),
];

/// Bodies that no client sends.
pub(super) const BODIES: &[&str] = &[
    "",
    " ",
    "null",
    "0",
    "\"x\"",
    "[]",
    "{}",
    "{",
    "[[[[[[",
    "\u{0}",
    "\u{feff}{}",
    "{\"a\":1}{\"b\":2}",
    "{\"metadata\":{\"name\":\"open\"},\"metadata\":{\"name\":\"vault\"}}",
    "- - -",
    "a: &a [*a]",
    "? ? ?",
    "!!binary x",
    "<<: *x",
    "--- a\n--- b\n",
    "%YAML 9.9\n---\n",
    "k8s\u{0}\u{1}\u{2}",
    "{\"kind\":\"List\",\"apiVersion\":\"v1\",\"items\":[]}",
    "[{\"op\":\"remove\",\"path\":\"\"}]",
    "[{\"op\":\"add\",\"path\":\"\",\"value\":null}]",
    "[{\"op\":\"copy\",\"from\":\"\",\"path\":\"/spec/x\"},{\"op\":\"copy\",\"from\":\"\",\"path\":\"/spec/y\"},{\"op\":\"copy\",\"from\":\"\",\"path\":\"/spec/z\"}]",
    "[{\"op\":\"replace\",\"path\":\"/metadata/name\",\"value\":\"vault\"}]",
    "[{\"op\":\"test\",\"path\":\"/metadata/finalizers\",\"value\":null}]",
    "[{\"op\":\"remove\",\"path\":\"/metadata/managedFields/18446744073709551615\"}]",
    "[{\"op\":\"add\",\"path\":\"/metadata/finalizers/-\",\"value\":\"a\"}]",
    "{\"metadata\":null}",
    "{\"metadata\":{\"managedFields\":[{\"manager\":\"x\",\"fieldsV1\":{\"f:spec\":{\"k:{\":{}}}}]}}",
    "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"quorate.dev/v1alpha1\",\"kind\":\"Secret\",\"name\":\"vault\",\"uid\":\"x\"}]}}",
    "{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"uid\":\"x\",\"generation\":-1}}",
];
