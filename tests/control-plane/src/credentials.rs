//! The credentials of servers and clients: certificates, keys, a token, kubeconfigs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::json;

use crate::Error;

/// The files of one control plane's credentials.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub authority: PathBuf,
    pub server_certificate: PathBuf,
    pub server_key: PathBuf,
    /// Signs and checks the tokens of service accounts.
    pub service_account_key: PathBuf,
    pub service_account_public_key: PathBuf,
    /// `--token-auth-file`: one user, who is in `system:masters`.
    pub tokens: PathBuf,
    token: String,
}

impl Credentials {
    /// Creates new credentials in `folder`, which only this user can read.
    pub(crate) fn create(folder: &Path) -> Result<Self, Error> {
        let (authority, issuer) = authority()?;
        let server = KeyPair::generate()?;
        let certificate = server_parameters()?.signed_by(&server, &issuer)?;
        let service_accounts = KeyPair::generate()?;
        let token = format!("{:032x}", rand::random::<u128>());
        Ok(Self {
            authority: write(folder, "ca.crt", &authority)?,
            server_certificate: write(folder, "server.crt", &certificate.pem())?,
            server_key: write(folder, "server.key", &server.serialize_pem())?,
            service_account_key: write(folder, "service-accounts.key", &service_accounts.serialize_pem())?,
            service_account_public_key: write(folder, "service-accounts.pub", &service_accounts.public_key_pem())?,
            tokens: write(folder, "tokens.csv", &format!("{token},admin,admin,system:masters\n"))?,
            token,
        })
    }

    /// Writes the administrator's kubeconfig for the server on `port`.
    pub(crate) fn write_kubeconfig(&self, path: &Path, port: u16) -> Result<(), Error> {
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "arcadia", "cluster": {
                "server": format!("https://127.0.0.1:{port}"),
                "certificate-authority": self.authority,
            }}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "arcadia", "context": {"cluster": "arcadia", "user": "admin"}}],
            "current-context": "arcadia",
        });
        fs::write(path, format!("{kubeconfig:#}\n")).map_err(Error::system(format!("write {}", path.display())))
    }
}

/// Writes a copy of a kubeconfig whose current context is in `namespace`.
pub(crate) fn write_kubeconfig_in(namespace: &str, original: &Path, copy: &Path) -> Result<(), Error> {
    let mut kubeconfig = read_kubeconfig(original)?;
    let current = kubeconfig.current_context.clone();
    for named in kubeconfig.contexts.iter_mut().filter(|named| Some(&named.name) == current.as_ref()) {
        named.context.get_or_insert_default().namespace = Some(namespace.to_owned());
    }
    let text = serde_json::to_string_pretty(&kubeconfig).map_err(std::io::Error::from);
    text.and_then(|text| fs::write(copy, text)).map_err(Error::system(format!("write {}", copy.display())))
}

/// A client for the current context of a kubeconfig.
pub(crate) async fn client(kubeconfig: &Path) -> Result<kube::Client, Error> {
    kube::Client::try_from(client_config(kubeconfig).await?).map_err(Error::api("make a client"))
}

pub(crate) async fn client_config(kubeconfig: &Path) -> Result<kube::Config, Error> {
    // Another part of the process may have installed a provider before; either works.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config =
        kube::Config::from_custom_kubeconfig(read_kubeconfig(kubeconfig)?, &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|source| unusable(kubeconfig, source))?;
    // The control plane is on this machine, so a proxy of the environment cannot reach it.
    config.proxy_url = None;
    Ok(config)
}

fn read_kubeconfig(path: &Path) -> Result<Kubeconfig, Error> {
    Kubeconfig::read_from(path).map_err(|source| unusable(path, source))
}

fn unusable(path: &Path, source: KubeconfigError) -> Error {
    Error::Kubeconfig { path: path.to_owned(), source: Box::new(source) }
}

fn authority() -> Result<(String, Issuer<'static, KeyPair>), Error> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "arcadia-control-plane");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?.pem();
    Ok((certificate, Issuer::new(parameters, key)))
}

fn server_parameters() -> Result<CertificateParams, Error> {
    let mut parameters =
        CertificateParams::new(["127.0.0.1", "localhost", "kubernetes.default.svc"].map(String::from))?;
    parameters.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    Ok(parameters)
}

fn write(folder: &Path, name: &str, content: &str) -> Result<PathBuf, Error> {
    let path = folder.join(name);
    fs::write(&path, content).map_err(Error::system(format!("write {}", path.display())))?;
    Ok(path)
}
