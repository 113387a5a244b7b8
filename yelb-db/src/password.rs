//! A store's password, or where it is found.

use std::io;
use std::path::PathBuf;

use secrecy::SecretString;

/// A store's password, or the file that has it.
#[derive(Debug, Clone)]
pub enum Password {
    /// The password.
    Text(SecretString),
    /// Its file, which is read at each login: a password that was rotated works without a restart.
    File(PathBuf),
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl Password {
    /// The password in the file at `path`, which can be read now.
    pub fn in_file(path: &str) -> io::Result<Self> {
        std::fs::read_to_string(path)?;
        Ok(Self::File(path.into()))
    }

    /// The password as it is now, without the line end that editors and `echo` leave behind.
    pub(crate) async fn read(&self) -> io::Result<SecretString> {
        match self {
            Self::Text(password) => Ok(password.clone()),
            Self::File(path) => {
                let text = tokio::fs::read_to_string(path).await.map_err(|error| {
                    let problem = format!("the password file {}: {error}", path.display());
                    io::Error::new(error.kind(), problem)
                })?;
                Ok(text.trim_end_matches(['\r', '\n']).into())
            }
        }
    }
}
