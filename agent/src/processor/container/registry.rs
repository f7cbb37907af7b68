//! Registries: what an image's name means, and how to log in to ECR.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde_json::json;

use crate::processor::Failure;
use crate::processor::program::find_program;

/// The program that knows how to log in to ECR, where somebody installed it; engines find it by what follows the second dash.
const HELPER: &str = "docker-credential-ecr-login";

/// Asks ECR for a password.
#[async_trait]
pub trait Logins: Send + Sync {
    /// The authorization token of ECR in this region: user and password as registries' clients keep them.
    ///
    /// # Errors
    /// In words.
    async fn token(&self, region: &str) -> Result<String, String>;
}

/// A registry of ECR's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ecr {
    /// Its host.
    pub host: String,
    /// Its region.
    pub region: String,
}

impl Ecr {
    /// The registry of an image's name, where it is one of ECR's: ACCOUNT.dkr.ecr.REGION.amazonaws.com (ECR user guide,
    /// "Private registry authentication"), with -fips and .cn.
    pub fn of(name: &str) -> Option<Self> {
        let (host, _) = name.split_once('/')?;
        let (account, rest) = host.split_once('.')?;
        let rest = rest.strip_prefix("dkr.ecr.").or_else(|| rest.strip_prefix("dkr.ecr-fips."))?;
        let (region, suffix) = rest.split_once('.')?;
        let known = matches!(suffix, "amazonaws.com" | "amazonaws.com.cn");
        (known && account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()))
            .then(|| Self { host: host.to_owned(), region: region.to_owned() })
    }
}

/// The base images that a Dockerfile names.
pub fn bases(dockerfile: &str) -> impl Iterator<Item = &str> {
    let words = dockerfile.lines().map(str::split_ascii_whitespace);
    words.filter_map(|mut words| {
        words.next().filter(|word| word.eq_ignore_ascii_case("FROM"))?;
        words.find(|word| !word.starts_with("--"))
    })
}

/// The whole name of an image, as docker reads it and podman does not: without a host it is Docker Hub's, without a folder
/// there one of its own.
pub fn full_name(name: &str) -> String {
    match name.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

/// A login to ECR, as a file that both engines read; removed when dropped.
pub struct Login {
    folder: PathBuf,
    asks_aws: bool,
}

impl Login {
    /// Logs in to those of these images' registries that are ECR's; none if none is.
    ///
    /// # Errors
    /// ECR does not answer or refuses.
    pub async fn to(
        images: impl Iterator<Item = &str>,
        logins: Option<&dyn Logins>,
        folder: &Path,
    ) -> Result<Option<Self>, Failure> {
        let mut registries: Vec<Ecr> = images.filter_map(Ecr::of).collect();
        registries.sort();
        registries.dedup();
        if registries.is_empty() {
            return Ok(None);
        }
        let asks_aws = find_program(HELPER, None).is_ok();
        let mut auths = serde_json::Map::new();
        for registry in &registries {
            let entry = match (asks_aws, logins) {
                (true, _) => json!("ecr-login"),
                (false, Some(logins)) => {
                    let token = logins.token(&registry.region).await;
                    json!({ "auth": token.map_err(|why| refused(&registry.host, &why))? })
                }
                (false, None) => return Err(refused(&registry.host, "this agent speaks to no AWS")),
            };
            auths.insert(registry.host.clone(), entry);
        }
        let login = Self { folder: folder.to_owned(), asks_aws };
        let content = if asks_aws { json!({ "credHelpers": auths }) } else { json!({ "auths": auths }) };
        login.write(content.to_string().as_bytes()).map_err(|e| {
            Failure::Refused(format!("the login to the registry cannot be written to {}: {e}", folder.display()))
        })?;
        Ok(Some(login))
    }

    /// For nobody else's eyes.
    fn write(&self, content: &[u8]) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let _ = fs::remove_file(self.file());
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.file())?.write_all(content)
    }

    /// The folder, as docker wants to know it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file, as podman wants to know it.
    pub fn file(&self) -> PathBuf {
        self.folder.join("config.json")
    }

    /// Whether the engine asks a helper, which asks AWS with the agent's credentials.
    pub fn asks_aws(&self) -> bool {
        self.asks_aws
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.file());
    }
}

fn refused(host: &str, why: &str) -> Failure {
    Failure::Refused(format!(
        "the agent cannot log in to {host}: {why}; its role needs ecr:GetAuthorizationToken and the rights to the \
         repository: dayfly setup --ecr REPOSITORY"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecrs_registries_are_known_by_their_names() {
        let of = |name: &str| Ecr::of(name).map(|ecr| ecr.region);
        assert_eq!(of("123456789012.dkr.ecr.us-east-1.amazonaws.com/a/b:1").as_deref(), Some("us-east-1"));
        assert_eq!(of("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/a").as_deref(), Some("cn-north-1"));
        assert_eq!(of("123456789012.dkr.ecr-fips.us-west-2.amazonaws.com/a").as_deref(), Some("us-west-2"));
        for other in ["busybox", "docker.io/a", "1.dkr.ecr.x.amazonaws.com/a", "123456789012.dkr.ecr.x.example.com/a"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_means_what_docker_takes_it_for() {
        assert_eq!(full_name("busybox:1"), "docker.io/library/busybox:1");
        assert_eq!(full_name("me/tool"), "docker.io/me/tool");
        for whole in ["localhost/x", "quay.io/a/b", "127.0.0.1:5000/a"] {
            assert_eq!(full_name(whole), whole);
        }
    }

    #[test]
    fn base_images_are_found() {
        let text = "# FROM nothing\nFROM --platform=linux/amd64 a/b:1 AS x\nRUN true\nfrom c\n";
        assert_eq!(bases(text).collect::<Vec<_>>(), ["a/b:1", "c"]);
    }
}
