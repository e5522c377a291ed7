//! The HTTP clients: trust, proxies, time-outs, and which addresses they connect to.
//! Refuses to follow redirects and to limit how long an answer takes: its callers decide both.

use std::error::Error as StdError;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, ClientBuilder, NoProxy, Proxy};
use url::{Host, Url};

use super::{SourceResult, address};
use crate::data_source::{SourceError, SourceErrorKind};
use crate::error::{Error, ErrorKind, Result};
use crate::options::{Network, Options};

const CONNECT_MAX: Duration = Duration::from_secs(10);
const IDLE_CONNECTIONS_MAX: usize = 256;
const IDLE_MAX: Duration = Duration::from_mins(1);
/// HTTP/1 header lines; their bytes are bounded by the connection's read buffer of 408 KiB.
const HEADERS_MAX: usize = 100;
const HTTP2_HEADER_BYTES_MAX: u32 = 64 << 10;
/// What a server may send ahead on one stream and on one connection: 50 ms at 640 Mbit/s, and four such streams.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 4 << 20;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// A connection that does not answer a ping in this time is gone, and the requests on it fail.
const HTTP2_PING: Duration = Duration::from_secs(10);
const CA_FILE_BYTES_MAX: u64 = 16 << 20;
/// More addresses of one name are not tried.
const ADDRESSES_MAX: usize = 64;

/// Which addresses a client connects to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reach {
    /// Those that the network option allows: its URLs come from elsewhere.
    Policy(Network),
    /// Any: its URLs are made from the operator's own settings.
    #[cfg(feature = "object-store")]
    Anywhere,
}

/// Which protocol versions a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    /// HTTP/1 as below, but never over TLS: no certificates are read, which takes longer than a small chunk does.
    Plain,
    /// One request at a time on each connection, so that parallel requests are not held to what one connection carries.
    Http1,
    /// HTTP/2 where the server offers it: many small requests share a connection.
    Any,
}

/// How to build a client, and the client once it was needed.
///
/// The system's certificates are read at the first request: that takes many times longer than opening a hold, and a hold
/// of files never needs them.
#[derive(Clone)]
pub(super) struct Connector {
    shared: Arc<Plan>,
}

struct Plan {
    reach: Reach,
    versions: Versions,
    certificates: Vec<Certificate>,
    proxies: Proxies,
    built: OnceLock<std::result::Result<Client, String>>,
}

/// Reads what the operator set for a client.
pub(super) fn connector(options: &Options, reach: Reach, versions: Versions) -> Result<Connector> {
    let certificates = read_certificates(&options.ca_files)?;
    let proxies = Proxies::read(|name| std::env::var(name).ok())?;
    let plan = Plan { reach, versions, certificates, proxies, built: OnceLock::new() };
    Ok(Connector { shared: Arc::new(plan) })
}

impl Connector {
    /// The client.
    pub(super) fn client(&self) -> SourceResult<&Client> {
        let built = self.shared.built.get_or_init(|| self.shared.build());
        built
            .as_ref()
            .map_err(|error| SourceError::new(SourceErrorKind::Refused, format!("setting up HTTP: {error}")))
    }
}

impl Plan {
    fn build(&self) -> std::result::Result<Client, String> {
        install_crypto();
        if !self.needs_certificates() {
            return self.builder().tls_certs_only([]).build().map_err(|error| chain(&error));
        }
        // A machine without any system certificates can still use plain HTTP and the authorities it was given; on all
        // others the first succeeds.
        self.builder()
            .tls_certs_merge(self.certificates.clone())
            .build()
            .or_else(|_| self.builder().tls_certs_only(self.certificates.clone()).build())
            .map_err(|error| chain(&error))
    }

    /// Only a proxy may speak TLS where the servers do not.
    fn needs_certificates(&self) -> bool {
        self.versions != Versions::Plain || !self.proxies.proxies.is_empty()
    }

    fn builder(&self) -> ClientBuilder {
        let mut builder = Client::builder()
            .user_agent(concat!("loghold/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_MAX)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(IDLE_MAX)
            .http1_max_headers(HEADERS_MAX)
            .http2_max_header_list_size(HTTP2_HEADER_BYTES_MAX)
            .http2_initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(HTTP2_PING)
            .http2_keep_alive_timeout(HTTP2_PING);
        if self.versions != Versions::Any {
            builder = builder.http1_only();
        }
        if let Reach::Policy(network) = self.reach {
            builder = builder.dns_resolver(Guard { network, proxy_hosts: Arc::clone(&self.proxies.hosts) });
        }
        self.proxies.apply(builder)
    }
}

/// reqwest is built without a default for cryptography. Who embeds this crate may have chosen one already: then it stays.
fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only if another thread was faster, which is as good.
        let _other_was_faster = rustls::crypto::ring::default_provider().install_default();
    }
}

fn read_certificates(files: &[PathBuf]) -> Result<Vec<Certificate>> {
    let mut certificates = Vec::new();
    for path in files {
        let pem = read_ca_file(path).map_err(|error| {
            Error::io(format_args!("reading the certificate file {}", path.display()), error)
        })?;
        let found = Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if found.is_empty() {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{} holds no PEM certificate (or a damaged one)", path.display()),
            ));
        }
        certificates.extend(found);
    }
    Ok(certificates)
}

#[expect(
    clippy::disallowed_methods,
    reason = "an operator's file anywhere on the system, often behind symlinks"
)]
fn read_ca_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    std::fs::File::open(path)?.take(CA_FILE_BYTES_MAX).read_to_end(&mut pem)?;
    Ok(pem)
}

type MakeProxy = fn(Url) -> reqwest::Result<Proxy>;

/// The proxies that the environment names, as curl and others read it. Loopback is never asked through a proxy.
struct Proxies {
    proxies: Vec<Proxy>,
    /// Their host names: set by the operator, so they may be private.
    hosts: Arc<[String]>,
}

impl Proxies {
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Proxies> {
        let variable = |name: &str| {
            let value = variable(name).or_else(|| variable(&name.to_ascii_lowercase()));
            value.filter(|value| !value.trim().is_empty())
        };
        let mut hosts = Vec::new();
        let mut proxies = Vec::new();
        let excluded = variable("NO_PROXY").unwrap_or_default() + ",localhost,127.0.0.0/8,::1";
        // A web server sets HTTP_PROXY from a request's "Proxy" header when it runs us as a CGI program.
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let makes: [(&str, MakeProxy); 3] =
            [("HTTP_PROXY", Proxy::http), ("HTTPS_PROXY", Proxy::https), ("ALL_PROXY", Proxy::all)];
        for (name, make) in makes {
            let Some(text) = variable(name).filter(|_| !(is_cgi && name == "HTTP_PROXY")) else { continue };
            // The value may hold a password: the message does not repeat it.
            let wrong =
                || Error::new(ErrorKind::Invalid, format!("the variable {name} is not a proxy's URL"));
            let url = parse_proxy(&text).ok_or_else(wrong)?;
            hosts.extend(url.host_str().map(str::to_ascii_lowercase));
            proxies.push(make(url).map_err(|_| wrong())?.no_proxy(NoProxy::from_string(&excluded)));
        }
        Ok(Proxies { proxies, hosts: hosts.into() })
    }

    fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        self.proxies.iter().cloned().fold(builder, ClientBuilder::proxy)
    }
}

/// A proxy may be named without a scheme.
fn parse_proxy(text: &str) -> Option<Url> {
    let text = text.trim();
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    url.ok().filter(Url::has_host)
}

/// The system's resolver, behind the address policy: what it does not return is not connected to. Checking here, and not
/// before the request, leaves no moment in which a name can turn to another address. A proxy resolves the names it is
/// asked for by itself: behind one, the policy for names is the proxy's.
struct Guard {
    network: Network,
    proxy_hosts: Arc<[String]>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_ascii_lowercase();
        let network = self.network;
        let is_proxy = self.proxy_hosts.contains(&host);
        Box::pin(async move {
            let mut allowed = Vec::new();
            let mut refused = None;
            for found in tokio::net::lookup_host((host.as_str(), 0)).await?.take(ADDRESSES_MAX) {
                match address::allowed(found.ip(), network) {
                    Err(kind) if !is_proxy => refused = Some((found.ip(), kind)),
                    _ => allowed.push(found),
                }
            }
            match refused {
                Some((ip, kind)) if allowed.is_empty() => {
                    Err(AddressRefused(address::refusal(&format!("{host} ({ip})"), kind, network)).into())
                }
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// Checks a URL whose host is an address; names are checked when they are resolved.
pub(super) fn check_host(url: &Url, network: Network) -> SourceResult<()> {
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => ip.into(),
        Some(Host::Ipv6(ip)) => ip.into(),
        Some(Host::Domain(_)) => return Ok(()),
        None => return Err(SourceError::new(SourceErrorKind::Refused, "the URL names no host")),
    };
    address::allowed(ip, network).map_err(|kind| {
        SourceError::new(SourceErrorKind::Refused, address::refusal(&ip.to_string(), kind, network))
    })
}

/// No address of a name may be called.
#[derive(Debug)]
struct AddressRefused(String);

impl fmt::Display for AddressRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for AddressRefused {}

/// What a failed request or body means. The URL is left out: it may hold credentials.
pub(super) fn failure(error: reqwest::Error) -> SourceError {
    let error = error.without_url();
    if let Some(AddressRefused(message)) = cause(&error) {
        return SourceError::new(SourceErrorKind::Refused, message.as_str());
    }
    let is_untrusted = matches!(cause(&error), Some(rustls::Error::InvalidCertificate(_)));
    let kind = match () {
        () if error.is_builder() => SourceErrorKind::Refused,
        () if is_untrusted => SourceErrorKind::Permanent,
        () => SourceErrorKind::Transient,
    };
    SourceError::new(kind, chain(&error))
}

/// The first error of a type in a chain of causes.
pub(super) fn cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An io::Error that wraps another error shows that error's causes, but not the error itself.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = wrapped.map_or_else(|| error.source(), |inner| Some(inner));
    }
    None
}

/// An error with its causes, each said once.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Proxies::read(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn proxies_are_read_in_either_case_and_without_a_scheme() {
        let read =
            proxies(&[("http_proxy", "Inner.Example:3128"), ("ALL_PROXY", "http://user:word@10.0.0.1")]);
        assert_eq!(*read.expect("two proxies").hosts, ["inner.example", "10.0.0.1"]);
        assert!(proxies(&[("HTTP_PROXY", " ")]).expect("none").hosts.is_empty());
        let as_cgi = proxies(&[("HTTP_PROXY", "http://evil.example"), ("REQUEST_METHOD", "GET")]);
        assert!(as_cgi.expect("none").hosts.is_empty());
    }

    #[test]
    fn a_wrong_proxy_is_named_by_its_variable_and_not_shown() {
        let error = proxies(&[("HTTPS_PROXY", "http://user:hidden@:x")]).err().expect("it is no URL");
        assert!(
            error.to_string().contains("HTTPS_PROXY") && !error.to_string().contains("hidden"),
            "{error}"
        );
    }

    #[test]
    fn certificates_are_read_unless_nothing_can_speak_tls() {
        let plan = |versions, variables: &[(&str, &str)]| Plan {
            reach: Reach::Policy(Network::Private),
            versions,
            certificates: Vec::new(),
            proxies: proxies(variables).expect("their settings"),
            built: OnceLock::new(),
        };
        assert!(!plan(Versions::Plain, &[]).needs_certificates());
        assert!(plan(Versions::Plain, &[("HTTP_PROXY", "https://inner.example")]).needs_certificates());
        assert!(plan(Versions::Http1, &[]).needs_certificates());
        assert!(plan(Versions::Any, &[]).needs_certificates());
    }

    #[tokio::test]
    async fn names_are_asked_through_the_proxy_and_loopback_is_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let proxy = format!("http://{}", listener.local_addr().expect("it is bound"));
        let serving = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut head = vec![0; 4_096];
            let count = socket.read(&mut head).await.expect("a request");
            socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("an answer");
            drop(listener);
            String::from_utf8_lossy(&head[..count]).into_owned()
        });
        install_crypto();
        let proxies = proxies(&[("HTTP_PROXY", &proxy)]).expect("a proxy");
        let client = proxies.apply(Client::builder()).build().expect("a client");
        client.get("http://data.example/a").send().await.expect("an answer");
        assert!(serving.await.expect("it serves").starts_with("GET http://data.example/a HTTP/1.1\r\n"));
        // Nobody listens there; the proxy would have to be asked to say so.
        let error = client.get("http://127.0.0.1:1/a").send().await.expect_err("nobody is there");
        assert!(error.is_connect());
    }
}
