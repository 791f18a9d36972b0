//! What every command shares: the terminal, the options that stand before or after any command, and
//! the connection, which is opened when it is first needed.

use std::{path::PathBuf, sync::Arc, time::Duration};

use quorate_identity::{Credentials, Dates, LiveCredentials, SystemClock, Trust};
use tokio::sync::OnceCell;

use crate::{
    client::Client,
    config::{ConfigFile, Context},
    console::{ColorChoice, Console},
    error::CliError,
    values,
};

/// Options of every command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GlobalOptions {
    /// The file with the contexts [default: ~/.config/quorate/config.yaml]
    #[arg(
        long,
        global = true,
        env = "QUORATE_CONFIG",
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub(crate) config: Option<PathBuf>,
    /// Which context to use instead of the current one
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Global options"
    )]
    pub(crate) context: Option<String>,
    /// Ask these members instead of those in the context; may be repeated
    #[arg(
        long = "endpoint",
        global = true,
        value_name = "HOST[:PORT]",
        help_heading = "Global options"
    )]
    pub(crate) endpoints: Vec<String>,
    /// How long to wait for one answer; 0 waits for ever
    #[arg(long, global = true, value_name = "TIME", default_value = "60s", value_parser = values::duration, help_heading = "Global options")]
    pub(crate) request_timeout: Duration,
    /// When to use colour
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        help_heading = "Global options"
    )]
    pub(crate) color: ColorChoice,
}

/// One run of the program.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) console: Console,
    options: GlobalOptions,
    client: OnceCell<Arc<Client>>,
}

impl Session {
    pub(crate) fn new(options: GlobalOptions) -> Self {
        Self {
            console: Console::new(options.color),
            options,
            client: OnceCell::new(),
        }
    }

    /// The options that stand before or after any command.
    pub(crate) fn options(&self) -> &GlobalOptions {
        &self.options
    }

    /// The file with the contexts.
    pub(crate) fn config(&self) -> Result<ConfigFile, CliError> {
        ConfigFile::load(self.options.config.as_deref())
    }

    /// The members of the chosen context's cluster.
    pub(crate) async fn client(&self) -> Result<Arc<Client>, CliError> {
        let client = self.client.get_or_try_init(|| async {
            let file = self.config()?;
            let context = file.context(self.options.context.as_deref())?;
            self.client_of(&file, context).map(Arc::new)
        });
        Ok(Arc::clone(client.await?))
    }

    /// The addresses to ask in a context.
    pub(crate) fn endpoints<'a>(&'a self, context: &'a Context) -> &'a [String] {
        if self.options.endpoints.is_empty() {
            &context.endpoints
        } else {
            &self.options.endpoints
        }
    }

    fn client_of(&self, file: &ConfigFile, context: &Context) -> Result<Client, CliError> {
        let own = self.credentials(file, context)?;
        let authority = file.pem(
            &context.certificate_authority,
            "cluster's authority certificate",
        )?;
        let tls = Trust::from_pem(&authority, Arc::new(SystemClock))
            .and_then(|trust| trust.client_config(Some(LiveCredentials::new(own)), Dates::Checked))
            .map_err(|error| CliError::usage(format!("context {:?}: {error}", context.name)))?;
        Ok(Client::new(
            self.endpoints(context).to_vec(),
            Arc::new(tls),
            self.request_timeout(),
        ))
    }

    fn credentials(&self, file: &ConfigFile, context: &Context) -> Result<Credentials, CliError> {
        let chain = file.pem(&context.client_certificate, "client certificate")?;
        let key = file.pem(&context.client_key, "client key")?;
        let own = Credentials::from_pem(&chain, &key)
            .map_err(|error| CliError::usage(format!("context {:?}: {error}", context.name)))?;
        let now = jiff::Timestamp::now();
        if own.peer().is_expired(now) {
            self.console.warn(&format!(
                "the certificate of context {:?} expired at {}; renew it with `quorate auth renew`",
                context.name,
                own.peer().not_after
            ));
        } else if now >= own.renew_at() && self.console.shows_progress() {
            self.console.warn(&format!(
                "the certificate of context {:?} expires at {}; renew it with `quorate auth renew`",
                context.name,
                own.peer().not_after
            ));
        }
        Ok(own)
    }

    /// How long to wait for one answer.
    pub(crate) fn request_timeout(&self) -> Option<Duration> {
        (!self.options.request_timeout.is_zero()).then_some(self.options.request_timeout)
    }
}
