//! `DATABASE_URL` → [`PostgresEndpoint`].
//!
//! Never repeats the URL, or any part of it, in an error: it carries a password.

use lakebed_contract::Secret;
use lakebed_contract::endpoints::PostgresEndpoint;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::error::HarnessError;

const PORT_DEFAULT: u16 = 5432;
const SHAPE: &str = "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE";

/// Reads a connection URL (or `key=value` string). TLS is refused where it is demanded: neither connection of the source speaks it.
pub fn postgres_endpoint(url: &Secret<String>) -> Result<PostgresEndpoint, HarnessError> {
    let refuse = |why: &str| HarnessError::Input { message: format!("failed to read DATABASE_URL: {why}") };
    // The parser's own error could repeat a piece of the password.
    let config: Config = url.expose().parse().map_err(|_| refuse(SHAPE))?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err(refuse("sslmode=require is not supported yet; use a tunnel that ends TLS on this machine"));
    }
    let host = match config.get_hosts() {
        [Host::Tcp(name)] => name.clone(),
        #[cfg(unix)]
        [Host::Unix(folder)] => folder.to_string_lossy().into_owned(),
        [] => return Err(refuse(SHAPE)),
        _ => return Err(refuse("it names several hosts; name the primary alone")),
    };
    let password = match config.get_password() {
        Some(bytes) => String::from_utf8(bytes.to_vec()).map_err(|_| refuse("its password is not UTF-8"))?,
        None => String::new(),
    };
    let user = config.get_user().filter(|user| !user.is_empty()).ok_or_else(|| refuse(SHAPE))?.to_owned();
    Ok(PostgresEndpoint {
        host,
        port: config.get_ports().first().copied().unwrap_or(PORT_DEFAULT),
        database: config.get_dbname().map_or_else(|| user.clone(), str::to_owned),
        user,
        password: Secret::new(password),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<PostgresEndpoint, String> {
        postgres_endpoint(&Secret::new(url.to_owned())).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_passwords_and_defaults_are_read() {
        for (url, expected) in [
            ("postgres://u:p%40ss@db.example:6000/beer", ("db.example", 6000, "u", "p@ss", "beer")),
            ("postgresql://u@127.0.0.1", ("127.0.0.1", 5432, "u", "", "u")),
            ("postgres://u@%2Ftmp%2Fsocket/beer", ("/tmp/socket", 5432, "u", "", "beer")),
            ("host=h user=u password=p dbname=d", ("h", 5432, "u", "p", "d")),
        ] {
            let found = read(url).expect(url);
            let parts = (found.host.as_str(), found.port, found.user.as_str());
            assert_eq!(parts, (expected.0, expected.1, expected.2), "{url}");
            assert_eq!((found.password.expose().as_str(), found.database.as_str()), (expected.3, expected.4), "{url}");
        }
    }

    #[test]
    fn a_refusal_says_why_and_never_repeats_the_url() {
        for (url, why) in [
            ("postgres://u:sesame@h:port/d", "expected postgres://"),
            ("mysql://u:sesame@h/d", "expected postgres://"),
            ("postgres://u:sesame@h/d?sesame=1", "expected postgres://"),
            ("postgres://u:sesame@h,i/d", "several hosts"),
            ("postgres://u:sesame@h/d?sslmode=require", "sslmode=require"),
            ("postgres://:sesame@h/d", "expected postgres://"),
        ] {
            let refused = read(url).expect_err(url);
            assert!(refused.contains(why) && !refused.contains("sesame"), "{url}: {refused}");
        }
    }
}
