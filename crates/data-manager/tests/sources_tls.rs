//! The HTTP source over TLS: whom it trusts.
//! Fails when a certificate that is unknown, expired or another host's is accepted, or a given authority is not.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use data_manager::data_source::{DataSource, FetchRequest, SourceError, SourceErrorKind};
use data_manager::options::{Network, Options};
use data_manager::sources::HttpSource;
use futures_util::TryStreamExt;
use host::Clock;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use url::Url;

/// The authority of the three certificates below, made for this test. Nothing else trusts it, so its keys are no secrets.
const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBmjCCAT+gAwIBAgIUEEZ0bs9K1+LtlRbVEKq732lEfa0wCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOVGVzdCBhdXRob3JpdHkwIBcNMjYxMTIxMDEzODQ4WhgPMjEy
NjEwMjgwMTM4NDhaMBkxFzAVBgNVBAMMDlRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEVI/63lJETGQDFy2fxa49UjoKoIZVRakYKFhzF5xt
PJhwl7b0mzQl6wKf0OQxw2JX66wISQ2tisSkc9YYMkDKlKNjMGEwHQYDVR0OBBYE
FMRvoxRzhtzegApBw7MYYkCuMftOMB8GA1UdIwQYMBaAFMRvoxRzhtzegApBw7MY
YkCuMftOMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgIEMAoGCCqGSM49
BAMCA0kAMEYCIQC6Y2+xtVeBJ/vJX75YOeLkTHC8VEtVOExe4pICoOWzdQIhAOf9
/d5F1w3wpDcnUusTuY4+cM9e7e5YFnBpvEqvqJvS
-----END CERTIFICATE-----
";
/// For localhost and 127.0.0.1, 2020 to 2120.
const GOOD: &str = "\
-----BEGIN CERTIFICATE-----
MIIBnjCCAUWgAwIBAgIUCMmDwJm1KVH9hpYLLliFPoLBY+owCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOVGVzdCBhdXRob3JpdHkwIBcNMjAwMTAxMDAwMDAwWhgPMjEy
MDAxMDEwMDAwMDBaMA8xDTALBgNVBAMMBGxlYWYwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARg0F+0GiVUCZmx88ET8iUDuqoVB5bTPdNrvGntKqoLgBulOKz9qkhW
0vldvogb445R9pOeuMml5VAqbawfiYDao3MwcTAaBgNVHREEEzARgglsb2NhbGhv
c3SHBH8AAAEwEwYDVR0lBAwwCgYIKwYBBQUHAwEwHQYDVR0OBBYEFEhFEo2sQPdl
HJyDJJcUtlEU+XzOMB8GA1UdIwQYMBaAFMRvoxRzhtzegApBw7MYYkCuMftOMAoG
CCqGSM49BAMCA0cAMEQCIEe0L3VFkrywIgwvBBLokteERxPsqgYAH4E3P55qlEX8
AiBxNX4e5pbCIRZEYlasBbHU4m/biOHKmgKXOgqaaCpNKg==
-----END CERTIFICATE-----
";
/// The same, but 2020 to 2021.
const EXPIRED: &str = "\
-----BEGIN CERTIFICATE-----
MIIBnjCCAUOgAwIBAgIUCsdqc0xPiSqHuVaaf3vzoZlkUowwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOVGVzdCBhdXRob3JpdHkwHhcNMjAwMTAxMDAwMDAwWhcNMjEw
MTAxMDAwMDAwWjAPMQ0wCwYDVQQDDARsZWFmMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEYNBftBolVAmZsfPBE/IlA7qqFQeW0z3Ta7xp7SqqC4AbpTis/apIVtL5
Xb6IG+OOUfaTnrjJpeVQKm2sH4mA2qNzMHEwGgYDVR0RBBMwEYIJbG9jYWxob3N0
hwR/AAABMBMGA1UdJQQMMAoGCCsGAQUFBwMBMB0GA1UdDgQWBBRIRRKNrED3ZRyc
gySXFLZRFPl8zjAfBgNVHSMEGDAWgBTEb6MUc4bc3oAKQcOzGGJArjH7TjAKBggq
hkjOPQQDAgNJADBGAiEAgnBMvcIx/1q4GHMER7U6LhCNom1fIJyZRwjr9O5C+O8C
IQCNaBp7qQyHN3Nyyr8BYQmNm61Rq4SIyNEsOeTZO4prvw==
-----END CERTIFICATE-----
";
/// For another host.
const WRONG_HOST: &str = "\
-----BEGIN CERTIFICATE-----
MIIBoTCCAUegAwIBAgIUV5d1Os4we6NQuxXrKGl9T4KTjt8wCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOVGVzdCBhdXRob3JpdHkwIBcNMjAwMTAxMDAwMDAwWhgPMjEy
MDAxMDEwMDAwMDBaMA8xDTALBgNVBAMMBGxlYWYwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARg0F+0GiVUCZmx88ET8iUDuqoVB5bTPdNrvGntKqoLgBulOKz9qkhW
0vldvogb445R9pOeuMml5VAqbawfiYDao3UwczAcBgNVHREEFTATghFlbHNld2hl
cmUuZXhhbXBsZTATBgNVHSUEDDAKBggrBgEFBQcDATAdBgNVHQ4EFgQUSEUSjaxA
92UcnIMklxS2URT5fM4wHwYDVR0jBBgwFoAUxG+jFHOG3N6ACkHDsxhiQK4x+04w
CgYIKoZIzj0EAwIDSAAwRQIhAKV/EdUZu22bLslAAtp+Ujw8/iEXdFgyGHSeXZyC
z26NAiADjURZi+IvrFtUgM54uSqBo3gvlvfqj8tKjnqy0NYQMg==
-----END CERTIFICATE-----
";
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAeUIk7RUO3jgeskE
dknkTqmtDZ5DYARbNkXW9zKxxwOhRANCAARg0F+0GiVUCZmx88ET8iUDuqoVB5bT
PdNrvGntKqoLgBulOKz9qkhW0vldvogb445R9pOeuMml5VAqbawfiYDa
-----END PRIVATE KEY-----
";

/// Answers one request over TLS, and returns where.
fn serve_once(certificate: &str) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url =
        Url::parse(&format!("https://{}/a", listener.local_addr().expect("it is bound"))).expect("a URL");
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the key fits");
    let serve = move || {
        let (mut socket, _) = listener.accept().expect("a connection");
        let mut tls = rustls::ServerConnection::new(Arc::new(config)).expect("a connection");
        let mut stream = rustls::Stream::new(&mut tls, &mut socket);
        let mut head = Vec::new();
        let mut byte = [0];
        // A client that does not trust us hangs up here.
        while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
            head.push(byte[0]);
        }
        if head.ends_with(b"\r\n\r\n") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nover TLS").expect("an answer");
            stream.conn.send_close_notify();
            stream.flush().expect("an end");
        }
    };
    std::thread::Builder::new().name("tls-server".to_owned()).spawn(serve).expect("a thread");
    url
}

async fn fetch(certificate: &str, authority: Option<&str>) -> Result<Vec<u8>, SourceError> {
    let mut options = Options::new("unused");
    options.network = Network::Private;
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    if let Some(authority) = authority {
        file.write_all(authority.as_bytes()).expect("a file");
        options.ca_files = vec![file.path().to_owned()];
    }
    let source = HttpSource::new(&options, Clock::system()).expect("a source");
    let request = FetchRequest { url: serve_once(certificate), range: None, validator: None };
    let pieces: Vec<_> = source.fetch(request).await?.body.try_collect().await?;
    Ok(pieces.concat())
}

#[tokio::test]
async fn a_given_authority_is_trusted() {
    assert_eq!(fetch(GOOD, Some(AUTHORITY)).await.expect("it is trusted"), b"over TLS");
}

#[tokio::test]
async fn unknown_expired_and_foreign_certificates_are_not() {
    for (certificate, authority) in [(GOOD, None), (EXPIRED, Some(AUTHORITY)), (WRONG_HOST, Some(AUTHORITY))]
    {
        let error = fetch(certificate, authority).await.expect_err("it is not trusted");
        assert_eq!(error.kind, SourceErrorKind::Permanent, "{error}");
        assert!(error.message.contains("certificate"), "{error}");
    }
}
