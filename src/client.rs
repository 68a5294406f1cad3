//! The admin API of a running exchange, asked from the command line: one request, one answer.
//!
//! Over TLS it trusts the one certificate the listener was given and nothing else, under whatever name it stands, since
//! the listener is reached by its address. What the documents mean is in `report`; what is printed is for `main`.

pub mod callers;
pub mod verbs;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::domain::change::{Entity, Key};
use crate::report::{Changes, EntityValues};
use crate::runtime::{chain, run_here};

/// Longest a whole request may take: the office waits for the disk, and for names at a reload before it.
const REQUEST: Duration = Duration::from_secs(30);
/// Longest answer read, in bytes: the most changes there may be, with room.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// Where a running exchange takes its operators' requests.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its certificate, where it speaks TLS.
    pub cert_file: Option<PathBuf>,
    /// An admin key, where it wants one.
    pub key: Option<String>,
}

/// Why there is no answer, or why it is no.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("no exchange answers on {at}: {why}; is `outcry serve` running with this configuration?")]
    Unreachable {
        /// Where.
        at: SocketAddr,
        /// Why.
        why: String,
    },
    /// It says no.
    #[error("{0}")]
    Refused(String),
    /// It says something else.
    #[error("what answers on {at} is no exchange of this version: {why}")]
    Strange {
        /// Where.
        at: SocketAddr,
        /// Why.
        why: String,
    },
}

impl Remote {
    /// What can be changed of an entity, and whose changes are in force.
    pub fn values(&self, entity: &Entity) -> Result<EntityValues, ClientError> {
        self.ask(Method::GET, &path(entity), None)
    }

    /// Changes values of an entity; `null` takes a change back. Returns what is in force then.
    pub fn change(
        &self,
        entity: &Entity,
        values: &[(Key, Value)],
        by: Option<&str>,
    ) -> Result<EntityValues, ClientError> {
        let mut body = json!({});
        for (key, value) in values {
            body[key.as_str()] = value.clone();
        }
        if let Some(by) = by {
            body["by"] = json!(by);
        }
        self.ask(Method::PATCH, &path(entity), Some(&body))
    }

    /// Everything that is laid over the files.
    pub fn changes(&self) -> Result<Changes, ClientError> {
        self.ask(Method::GET, "/api/v1/changes", None)
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, ClientError> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        self.ask_with(method, path, "application/json", body)
    }

    fn ask_with<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let at = self.reached();
        let unreachable = |why: String| ClientError::Unreachable { at, why };
        let request = self.request(at, method, path, content_type, body).map_err(&unreachable)?;
        let asked = run_here(async { tokio::time::timeout(REQUEST, self.send(at, request)).await });
        let (status, answer) = asked
            .map_err(|error| unreachable(error.to_string()))?
            .map_err(|_| unreachable(format!("no answer within {} s", REQUEST.as_secs())))?
            .map_err(&unreachable)?;
        let strange = |why: String| ClientError::Strange { at, why };
        if status != 200 {
            let problem: Value =
                serde_json::from_slice(&answer).map_err(|_| strange(format!("it answered {status}")))?;
            return Err(ClientError::Refused(refusal(&problem)));
        }
        serde_json::from_slice(&answer).map_err(|error| strange(error.to_string()))
    }

    /// A listener on every address is reached on this machine.
    fn reached(&self) -> SocketAddr {
        let ip = match self.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        SocketAddr::new(ip, self.listen.port())
    }

    fn request(
        &self,
        at: SocketAddr,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, at.to_string());
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        let request = request.header(CONTENT_TYPE, content_type).body(Full::new(body));
        // Only the key can hold what no header may.
        request.map_err(|_| "the key cannot be sent: it is not one line of plain text".to_owned())
    }

    async fn send(&self, at: SocketAddr, request: Request<Full<Bytes>>) -> Result<(u16, Bytes), String> {
        let stream = TcpStream::connect(at).await.map_err(|error| error.to_string())?;
        let Some(cert_file) = &self.cert_file else { return exchange(stream, request).await };
        let connector = TlsConnector::from(Arc::new(trusting(cert_file)?));
        let stream =
            connector.connect(ServerName::from(at.ip()), stream).await.map_err(|error| chain(&error))?;
        exchange(stream, request).await
    }
}

fn path(entity: &Entity) -> String {
    format!("/api/v1/{}s/{}", entity.kind(), entity.id())
}

/// One request and its answer on a connection of its own.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(u16, Bytes), String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
    let asking = async {
        let response = sender.send_request(request).await.map_err(|error| chain(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    };
    tokio::pin!(asking);
    tokio::select! {
        biased;
        // The answer first: a peer that closes after it has answered all the same.
        answer = &mut asking => answer,
        ended = connection => match ended {
            Ok(()) => asking.await,
            Err(error) => Err(chain(&error)),
        },
    }
}

/// A problem document in lines.
fn refusal(problem: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut said = text(&problem["detail"]);
    for fault in problem["errors"].as_array().into_iter().flatten() {
        said.push_str(&format!("\n  {}: allowed: {}", text(&fault["at"]), text(&fault["allowed"])));
    }
    said
}

fn trusting(cert_file: &Path) -> Result<ClientConfig, String> {
    let cannot = |why: String| format!("{} cannot be used: {why}", cert_file.display());
    let pem = std::fs::read(cert_file).map_err(|error| cannot(error.to_string()))?;
    let own = CertificateDer::from_pem_slice(&pem).map_err(|error| cannot(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(OnlyThis { own, provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

/// Trusts the holder of one certificate: the key is proved in the handshake, the name goes unasked.
#[derive(Debug)]
struct OnlyThis {
    own: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OnlyThis {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *shown == self.own {
            return Ok(ServerCertVerified::assertion());
        }
        let why = "it shows another certificate than `cert_file` holds; was that renewed without a restart?";
        Err(rustls::Error::General(why.to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
