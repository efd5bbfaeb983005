//! An error of the arguments or of the environment variables, as the failure of a helper.

use error::Error;

use crate::batch::error::HelperError;

impl From<anyhow::Error> for HelperError {
    fn from(error: anyhow::Error) -> Self {
        HelperError::bad_input(match error.downcast() {
            Ok(error) => error,
            Err(error) => Error::Usage { text: format!("{error:#}") },
        })
    }
}
