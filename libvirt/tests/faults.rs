//! A libvirt that hangs, dies, or is none.

use quorate_libvirt::{Connection, Header, Kind, Message, RpcError, Status};
use std::path::PathBuf;
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
