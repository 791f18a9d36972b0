//! `quorate cluster backup` and `restore`.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use quorate_proto::api::v1::BackupRequest;

use crate::{
    client::{cluster, stream_refusal},
    error::CliError,
    session::Session,
};

/// How often progress is shown.
const PROGRESS_STEP: u64 = 16 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The file to write; it must not exist yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) async fn backup(session: &Session, args: &Backup) -> Result<(), CliError> {
    let path = &args.file;
    let failed = |error| CliError::file("write the backup", path, error);
    if path.exists() {
        return Err(failed(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "it exists already; choose another name",
        )));
    }
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // What is cut short never gets the name of a backup.
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    let client = session.client().await?;
    let channel = client.channel().await?;
    let mut stream = cluster(channel)
        .backup(BackupRequest {})
        .await
        .map_err(|status| stream_refusal(&status))?
        .into_inner();
    let (mut written, mut shown) = (0_u64, 0_u64);
    while let Some(chunk) = stream
        .message()
        .await
        .map_err(|status| stream_refusal(&status))?
    {
        file.write_all(&chunk.data).map_err(failed)?;
        written += chunk.data.len() as u64;
        if session.console.shows_progress() && written - shown >= PROGRESS_STEP {
            shown = written;
            session.console.note(&format!("{} MiB", written >> 20));
        }
    }
    if written == 0 {
        return Err(CliError::Broken(
            "the server sent an empty backup; nothing was written".to_owned(),
        ));
    }
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path)
        .map_err(|error| failed(error.error))?;
    session
        .console
        .line(&format!("{} written, {written} bytes", path.display()))?;
    session.console.note(
        "it holds every object; Secrets in it are sealed, and can be read only with the keyring of a member (secrets.json): keep both, apart",
    );
    Ok(())
}

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The configuration of the member to rebuild
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/quorate/quorated.yaml"
    )]
    member_config: PathBuf,
}

/// Rebuilding needs the member's program, which knows the store's files; this command finds it and hands over.
pub(super) fn restore(args: &Restore) -> Result<(), CliError> {
    let mut first = [0_u8; 1];
    let opened = fs::File::open(&args.file).and_then(|mut file| file.read(&mut first));
    match opened {
        Ok(0) => {
            return Err(CliError::usage(format!(
                "{} is empty; it is no backup",
                args.file.display()
            )));
        }
        Ok(_) => {}
        Err(error) => return Err(CliError::file("read the backup", &args.file, error)),
    }
    let program = member_program();
    let error = Command::new(&program)
        .arg("restore")
        .arg("--from")
        .arg(&args.file)
        .arg("--config")
        .arg(&args.member_config)
        .exec();
    Err(CliError::Local {
        doing: format!(
            "cannot start {}, which rebuilds members; run this command on a machine where quorated is installed",
            program.display()
        ),
        source: error,
    })
}

/// `quorated` beside this program, or wherever the system finds it.
pub(super) fn member_program() -> PathBuf {
    let beside = std::env::current_exe()
        .ok()
        .map(|own| own.with_file_name("quorated"));
    beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from(OsString::from("quorated")))
}
