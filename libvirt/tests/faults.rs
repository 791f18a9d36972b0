//! A libvirt that hangs, dies, or is none.

use quorate_libvirt::{
    Connection, Domain, DomainId, Encoder, ErrorCode, Header, Kind, Message, RpcError, Status,
};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

struct Pretender {
    _directory: tempfile::TempDir,
    socket: PathBuf,
    listener: UnixListener,
}

impl Pretender {
    fn listen() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("socket");
        let listener = UnixListener::bind(&socket).expect("listening");
        Self {
            _directory: directory,
            socket,
            listener,
        }
    }

    /// Someone who connects, and is told nothing wrong until it is connected.
    async fn accept(&self) -> UnixStream {
        let (mut stream, _) = self.listener.accept().await.expect("somebody comes");
        let ways = next(&mut stream).await;
        answer(&mut stream, &ways, Status::Good, &0_u32.to_be_bytes()).await;
        let open = next(&mut stream).await;
        answer(&mut stream, &open, Status::Good, &[]).await;
        stream
    }
}

async fn next(stream: &mut UnixStream) -> Message {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.expect("a length");
    let mut bytes = vec![0; Message::remaining(length).expect("sane")];
    stream.read_exact(&mut bytes).await.expect("a message");
    Message::decode(&bytes).expect("a message")
}

async fn answer(stream: &mut UnixStream, call: &Message, status: Status, body: &[u8]) {
    let reply = Message {
        header: Header {
            kind: Kind::Reply,
            status,
            ..call.header
        },
        body: body.to_vec(),
    };
    stream.write_all(&reply.encode()).await.expect("sent");
}

async fn connect(pretender: &Pretender, patience: Duration) -> (Connection, UnixStream) {
    let opened = Connection::open(&pretender.socket, "qemu:///system", patience);
    let (opened, stream) = tokio::join!(opened, pretender.accept());
    (opened.expect("connected").0, stream)
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn nobody_at_the_socket_is_not_an_unknown_effect() {
    let error = Connection::open("/nonexistent/socket".as_ref(), "qemu:///system", LONG)
        .await
        .expect_err("nobody");
    assert!(error.surely_nothing(), "{error:?}");
    assert!(error.to_string().contains("/nonexistent/socket"), "{error}");
}

#[tokio::test]
async fn a_hung_call_is_given_up_and_another_goes_on() {
    let pretender = Pretender::listen();
    let (libvirt, mut stream) = connect(&pretender, Duration::from_millis(50)).await;
    let error = libvirt.list().await.expect_err("no answer");
    assert!(matches!(error, RpcError::Silent { .. }), "{error:?}");
    assert!(!error.surely_nothing(), "it may still happen");

    let late = next(&mut stream).await;
    let (libvirt, mut second) = connect(&pretender, LONG).await;
    answer(&mut stream, &late, Status::Good, &[0; 8]).await;
    let asked = libvirt.list();
    let answered = async {
        let call = next(&mut second).await;
        answer(&mut second, &call, Status::Good, &[0; 8]).await;
    };
    let (listed, ()) = tokio::join!(asked, answered);
    assert_eq!(listed.expect("answered"), []);
}

#[tokio::test]
async fn whoever_waits_learns_that_libvirt_is_gone() {
    let pretender = Pretender::listen();
    let (libvirt, stream) = connect(&pretender, LONG).await;
    let (first, second, ()) = tokio::join!(libvirt.list(), libvirt.library_version(), async {
        drop(stream);
    });
    for error in [first.map(drop), second.map(drop)] {
        let error = error.expect_err("gone");
        assert!(matches!(error, RpcError::Lost { .. }), "{error:?}");
    }
    assert!(libvirt.list().await.is_err(), "and so does who comes later");
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_not_taken_for_one() {
    let pretender = Pretender::listen();
    let (libvirt, mut stream) = connect(&pretender, LONG).await;
    let (error, ()) = tokio::join!(libvirt.list(), async {
        let call = next(&mut stream).await;
        answer(&mut stream, &call, Status::Good, b"\xff\xff\xff\xff").await;
    });
    let error = error.expect_err("too many domains");
    assert!(matches!(error, RpcError::Garbled { .. }), "{error:?}");

    let (error, ()) = tokio::join!(libvirt.list(), async {
        let call = next(&mut stream).await;
        answer(&mut stream, &call, Status::Failed, b"?").await;
    });
    assert!(matches!(error, Err(RpcError::Garbled { .. })), "{error:?}");
}

#[tokio::test]
async fn what_is_not_libvirt_is_hung_up_on() {
    let pretender = Pretender::listen();
    let (libvirt, mut stream) = connect(&pretender, LONG).await;
    let (error, ()) = tokio::join!(libvirt.list(), async {
        next(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .expect("sent");
    });
    assert!(matches!(error, Err(RpcError::Foreign(_))), "{error:?}");
}

#[tokio::test]
async fn answers_come_in_any_order_and_strangers_are_not_heard() {
    let pretender = Pretender::listen();
    let (libvirt, mut stream) = connect(&pretender, LONG).await;
    let answers = async {
        let first = next(&mut stream).await;
        let second = next(&mut stream).await;
        answer(
            &mut stream,
            &second,
            Status::Good,
            &9_000_000_u64.to_be_bytes(),
        )
        .await;
        let mut stranger = first.clone();
        stranger.header.serial = 4711;
        answer(&mut stream, &stranger, Status::Good, &[]).await;
        answer(&mut stream, &first, Status::Good, &[0; 8]).await;
    };
    let (listed, version, ()) = tokio::join!(libvirt.list(), libvirt.library_version(), answers);
    assert_eq!(listed.expect("answered"), []);
    assert_eq!(version.expect("answered"), 9_000_000);
}

static WEB: LazyLock<Domain> = LazyLock::new(|| Domain {
    name: "web".to_owned(),
    uuid: DomainId([7; 16]),
    id: 1,
});

async fn part(stream: &mut UnixStream, call: &Message, status: Status, body: &[u8]) {
    let part = Message {
        header: Header {
            kind: Kind::Stream,
            status,
            ..call.header
        },
        body: body.to_vec(),
    };
    stream.write_all(&part.encode()).await.expect("sent");
}

#[tokio::test]
async fn a_console_carries_bytes_both_ways_until_libvirt_ends_it() {
    let pretender = Pretender::listen();
    let (libvirt, mut stream) = connect(&pretender, LONG).await;
    let (opened, call) = tokio::join!(libvirt.console(&WEB, None, 0), async {
        let call = next(&mut stream).await;
        answer(&mut stream, &call, Status::Good, &[]).await;
        // What it has said already comes right behind the answer.
        part(&mut stream, &call, Status::Continues, b"login: ").await;
        call
    });
    let (mut own, other) = tokio::io::duplex(1024);
    let carrying = tokio::spawn(opened.expect("opened").carry(other));
    let mut said = [0; 7];
    own.read_exact(&mut said).await.expect("said");
    assert_eq!(&said, b"login: ");

    own.write_all(b"root\r").await.expect("typed");
    let typed = next(&mut stream).await;
    assert_eq!(typed.header.kind, Kind::Stream);
    assert_eq!(typed.header.serial, call.header.serial);
    assert_eq!(typed.header.status, Status::Continues);
    assert_eq!(typed.body, b"root\r");

    // The guest is off.
    part(&mut stream, &call, Status::Continues, b"").await;
    carrying.await.expect("it ends").expect("in order");
    assert_eq!(own.read(&mut said).await.expect("the end"), 0);
    let mut left = Vec::new();
    let closed = stream.read_to_end(&mut left).await.expect("closed");
    assert_eq!(closed, 0, "libvirt learns that nobody is there any more");
}

#[tokio::test]
async fn a_console_that_is_refused_or_broken_off_says_why() {
    let pretender = Pretender::listen();
    let (libvirt, mut stream) = connect(&pretender, LONG).await;
    let refusal = Encoder::new()
        .int(9)
        .int(10)
        .optional(Some("Active console session exists for this domain"))
        .into_bytes();
    let (refused, ()) = tokio::join!(libvirt.console(&WEB, None, 0), async {
        let call = next(&mut stream).await;
        answer(&mut stream, &call, Status::Failed, &refusal).await;
    });
    let error = refused.expect_err("somebody has it");
    assert_eq!(error.code(), Some(ErrorCode::OPERATION_FAILED));

    let (libvirt, mut stream) = connect(&pretender, LONG).await;
    let (opened, ()) = tokio::join!(libvirt.console(&WEB, None, 0), async {
        let call = next(&mut stream).await;
        answer(&mut stream, &call, Status::Good, &[]).await;
        part(&mut stream, &call, Status::Failed, &refusal).await;
    });
    let (_own, other) = tokio::io::duplex(1024);
    let ended = opened.expect("opened").carry(other).await;
    let error = ended.expect_err("broken off");
    assert!(error.to_string().contains("Active console"), "{error}");
}
