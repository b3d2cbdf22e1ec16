// SPDX-License-Identifier: Apache-2.0
//! TLS of OTLP connections: whom to believe, what to show.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::endpoint::Trust;

/// The client's side of TLS as `trust` says, or what is wrong with its files. Without `trust`, nobody is believed.
pub(super) fn client(trust: Option<&Trust>) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let Some(trust) = trust else {
        return Ok(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
    };
    let config = if trust.skip_verify {
        config.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    } else {
        config.with_root_certificates(roots(trust)?)
    };
    let Some((certificate, key)) = &trust.client else { return Ok(config.with_no_client_auth()) };
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    config
        .with_client_auth_cert(chain, key)
        .map_err(|error| format!("{} does not go with its key: {error}", certificate.display()))
}

fn roots(trust: &Trust) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(file) = &trust.certificate else {
        let (usable, _) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if usable > 0 {
            Ok(roots)
        } else {
            Err("this system trusts no certificates, install them (ca-certificates) or set \
                 OTEL_EXPORTER_OTLP_CERTIFICATE"
                .to_owned())
        };
    };
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| unreadable(file, &error))?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(file, &error))?;
    if chain.is_empty() {
        return Err(format!("there is no PEM certificate in {}", file.display()));
    }
    Ok(chain)
}

fn unreadable(file: &Path, error: &dyn std::fmt::Display) -> String {
    format!("cannot use {}: {error}", file.display())
}

/// Believes every certificate; the handshake's own signatures are still checked.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
