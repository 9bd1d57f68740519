//! Debian's kernels: found by version, downloaded, unpacked below the target folder.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::debian::Suite;

/// Where kernels are looked for, in this order.
const SUITES: [&str; 6] = ["bookworm", "bookworm-backports", "trixie", "trixie-backports", "forky", "bullseye"];
/// The oldest that ipcscope supports; on older ones it has to say so.
const OLDEST: [u64; 2] = [5, 15];

/// One kernel, unpacked.
pub(super) struct Kernel {
    /// Its release, with Debian's flavour: "6.1.0-40-cloud-amd64".
    pub(super) name: String,
    pub(super) image: PathBuf,
}

impl Kernel {
    /// The newest of that version ("6.1" or longer) in the first suite that has one.
    pub(super) fn find(checkout: &Checkout, version: &str) -> Result<Self> {
        for suite in SUITES {
            let suite = Suite::open(checkout, suite)?;
            let names = suite.names(&format!("linux-image-{version}"))?;
            if let Some(package) = newest(&names, version) {
                let name = package.trim_start_matches("linux-image-").to_owned();
                // In the newest ones the image is in a package of its own, on which this one depends.
                let binary = format!("linux-binary-{name}");
                let has_binary = suite.names(&binary)?.contains(&binary);
                let package = if has_binary { &binary } else { package };
                let folder = checkout.target("vm/packages").join(package);
                suite.unpack(package, &folder)?;
                let image = [format!("boot/vmlinuz-{name}"), format!("usr/lib/modules/{name}/vmlinuz")]
                    .into_iter()
                    .map(|image| folder.join(image))
                    .find(|image| image.is_file())
                    .with_context(|| format!("find the kernel in the package {package}"))?;
                return Ok(Self { name, image });
            }
        }
        bail!("no Debian suite among {} has a cloud kernel {version}", SUITES.join(", "))
    }

    /// Whether ipcscope has to refuse it.
    pub(super) fn is_too_old(&self) -> bool {
        numbers(&self.name).get(..OLDEST.len()).is_some_and(|version| version < OLDEST.as_slice())
    }
}

/// The newest signed cloud kernel of that version among packages that begin with it.
fn newest<'n>(packages: &'n [String], version: &str) -> Option<&'n str> {
    let prefix = format!("linux-image-{version}");
    let fits = |package: &&str| {
        package.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with(['.', '+', '-']))
            && package.ends_with("-cloud-amd64")
    };
    packages.iter().map(String::as_str).filter(fits).max_by_key(|package| numbers(package))
}

/// The numbers in a name, in order: what versions are compared by.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_by_number_and_signed() {
        let names = [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-40-cloud-amd64",
            "linux-image-6.1.0-41-cloud-amd64-unsigned",
            "linux-image-6.12.9+bpo-cloud-amd64",
            "linux-image-6.1.0-50-amd64",
        ]
        .map(str::to_owned);
        assert_eq!(newest(&names, "6.1"), Some("linux-image-6.1.0-40-cloud-amd64"));
        assert_eq!(newest(&names, "6.12"), Some("linux-image-6.12.9+bpo-cloud-amd64"));
        assert_eq!(newest(&names, "6.13"), None);
    }

    #[test]
    fn too_old_is_by_number() {
        let is_too_old = |name: &str| Kernel { name: name.to_owned(), image: PathBuf::new() }.is_too_old();
        assert!(is_too_old("5.10.0-35-cloud-amd64"));
        assert!(!is_too_old("5.15.0-1-cloud-amd64"));
        assert!(!is_too_old("6.1.0-40-cloud-amd64"));
    }
}
