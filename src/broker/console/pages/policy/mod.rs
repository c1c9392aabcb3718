//! Policy: its versions, who gains or loses what by one, and putting one in force.

pub(in crate::console) mod change;
pub(in crate::console) mod list;
pub(in crate::console) mod version;

use axum::http::StatusCode;
use shortbread_protocol::reason::Reason;

use crate::activation::ActivationError;
use crate::console::trouble::Trouble;
use crate::rollout::RolloutError;

impl From<ActivationError> for Trouble {
    fn from(error: ActivationError) -> Self {
        match error {
            ActivationError::Store(error) => error.into(),
            ActivationError::Unknown(_) => Self::absent(error.to_string()),
            ActivationError::SecondOperator { .. } => {
                Self::new(StatusCode::CONFLICT, Reason::SecondOperator, error.to_string())
            }
            error => Self::new(StatusCode::CONFLICT, Reason::Conflict, error.to_string()),
        }
    }
}

impl From<RolloutError> for Trouble {
    fn from(error: RolloutError) -> Self {
        match error {
            RolloutError::Activation(error) => error.into(),
            RolloutError::Gate(_) | RolloutError::Incidents(_) => {
                Self::new(StatusCode::CONFLICT, Reason::GateRefused, error.to_string())
            }
            RolloutError::Busy => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, Reason::Overloaded, error.to_string())
                    .after(std::time::Duration::from_secs(3))
            }
            RolloutError::Cases(_) => Self::new(StatusCode::CONFLICT, Reason::Conflict, error.to_string()),
        }
    }
}
