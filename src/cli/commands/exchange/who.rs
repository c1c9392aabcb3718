//! Who asks for a token, and how they prove it.

use shortbread_protocol::oauth::{CLIENT_ASSERTION, CLIENT_CREDENTIALS, JWT, TOKEN_EXCHANGE};

use super::ExchangeArgs;
use crate::client::{Broker, Signer};
use crate::context::Context;
use crate::failure::Failure;
use crate::files;

/// Fields of a form.
pub(super) type Fields = Vec<(&'static str, String)>;

/// Who asks for a token.
pub(super) enum Client {
    /// A workflow with a registered key.
    Key(Signer),
    /// Whoever a platform's JWT speaks of; the name of a workflow, where it may be several.
    Platform(String, Option<String>),
}

impl Client {
    /// As the flags say it.
    ///
    /// # Errors
    /// When they do not say it, or a file cannot be read.
    pub(super) fn of(args: &ExchangeArgs, context: &Context) -> Result<Self, Failure> {
        if let (Some(key), Some(workflow)) = (&args.key, &args.workflow) {
            let key = files::private_key(key, context.passphrase().as_ref())?;
            return Ok(Self::Key(Signer::workflow(workflow, key)));
        }
        let jwt = args.jwt.as_ref();
        let jwt = jwt.ok_or_else(|| Failure::usage("say who asks: --workflow with --key, or --jwt"))?;
        let name = args.workflow.as_ref().map(|name| format!("workflow:{name}"));
        Ok(Self::Platform(files::file_or_stdin(jwt)?, name))
    }

    /// Who asks, as form fields.
    ///
    /// # Errors
    /// When there is no randomness.
    pub(super) fn fields(&self, context: &Context, broker: &Broker) -> Result<Fields, Failure> {
        Ok(match self {
            Self::Key(_) => {
                let mut fields = vec![("grant_type", CLIENT_CREDENTIALS.to_owned())];
                fields.extend(self.proof(context, broker)?);
                fields
            }
            Self::Platform(jwt, name) => {
                let mut fields = vec![
                    ("grant_type", TOKEN_EXCHANGE.to_owned()),
                    ("subject_token", jwt.clone()),
                    ("subject_token_type", JWT.to_owned()),
                ];
                fields.extend(name.clone().map(|name| ("client_id", name)));
                fields
            }
        })
    }

    /// What proves who asks again, or takes back what they asked for. Where a platform's JWT asked, that is the key of the
    /// proof alone: the JWT is used up.
    ///
    /// # Errors
    /// When there is no randomness.
    pub(super) fn proof(&self, context: &Context, broker: &Broker) -> Result<Fields, Failure> {
        let Self::Key(signer) = self else { return Ok(Fields::new()) };
        let assertion = signer.assertion(broker.url(), context.now(), &*context.random)?;
        Ok(vec![("client_assertion_type", CLIENT_ASSERTION.to_owned()), ("client_assertion", assertion)])
    }
}
