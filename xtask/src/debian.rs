//! Packages of any Debian suite, downloaded and unpacked without touching the system.
//!
//! apt gets a configuration of its own for each suite: the mirror that the system's apt is configured with, lists and
//! archives below our target folder. Needs apt and dpkg, and no privileges.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::command;
use crate::privilege;

/// Names the mirror where apt itself is not configured with one of Debian's.
const MIRROR_VARIABLE: &str = "IPCSCOPE_DEBIAN_MIRROR";
/// How long downloaded lists are good enough.
const LISTS_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// One Debian suite ("bookworm-backports").
pub(crate) struct Suite {
    folder: PathBuf,
}

impl Suite {
    /// Downloads the suite's lists unless there are fresh ones.
    pub(crate) fn open(checkout: &Checkout, name: &str) -> Result<Self> {
        for tool in ["apt-get", "apt-cache", "dpkg"] {
            if command::program(tool).is_none() {
                bail!("{tool} is not installed: this command needs a Debian machine, or Debian's apt and dpkg");
            }
        }
        let suite = Self { folder: checkout.target("debian").join(name) };
        if suite.is_fresh() {
            return Ok(suite);
        }
        let mirror = mirror()?;
        eprintln!("xtask: reading the package lists of Debian {name}");
        for folder in ["parts", "lists/partial", "cache/archives/partial"] {
            let folder = suite.folder.join(folder);
            std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        }
        suite.write("status", "")?;
        suite.write("sources.list", &format!("deb {mirror} {name} main\n"))?;
        command::run(suite.apt("apt-get").args(["update", "-qq"]))
            .with_context(|| format!("download the package lists of Debian {name}"))?;
        suite.write("fresh", "")?;
        Ok(suite)
    }

    /// The names of the suite's packages that begin so.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let names = command::output(self.apt("apt-cache").args(["pkgnames", "--", prefix]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// The versions of a package that the suite offers.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<String>> {
        let shown = command::output(self.apt("apt-cache").args(["madison", "--", package]))?;
        Ok(shown.lines().filter_map(|line| line.split('|').nth(1)).map(|version| version.trim().to_owned()).collect())
    }

    /// Downloads the package (`NAME` or `NAME=VERSION`) and unpacks it into the folder, which is complete or absent.
    pub(crate) fn unpack(&self, package: &str, into: &Path) -> Result<()> {
        if into.is_dir() {
            return Ok(());
        }
        eprintln!("xtask: downloading {package}");
        let downloads = self.folder.join("downloads").join(package);
        let _ = std::fs::remove_dir_all(&downloads);
        std::fs::create_dir_all(&downloads).with_context(|| format!("create {}", downloads.display()))?;
        command::run(self.apt("apt-get").args(["download", "-qq", "--", package]).current_dir(&downloads))
            .with_context(|| format!("download the Debian package {package}"))?;
        let archive = std::fs::read_dir(&downloads)
            .and_then(|mut entries| entries.next().transpose())
            .context("look at what apt downloaded")?
            .context("look at what apt downloaded: nothing")?
            .path();
        let partial = downloads.join("unpacked");
        std::fs::create_dir_all(&partial).with_context(|| format!("create {}", partial.display()))?;
        command::run(Command::new("dpkg").arg("-x").args([&archive, &partial]))?;
        if let Some(parent) = into.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        std::fs::rename(&partial, into).with_context(|| format!("rename {}", partial.display()))?;
        let _ = std::fs::remove_dir_all(&downloads);
        Ok(())
    }

    fn is_fresh(&self) -> bool {
        let age = |time: SystemTime| time.elapsed().ok();
        let stamp = std::fs::metadata(self.folder.join("fresh")).and_then(|data| data.modified());
        stamp.ok().and_then(age).is_some_and(|age| age < LISTS_AGE)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    /// apt-get or apt-cache with nothing but this suite in sight.
    fn apt(&self, tool: &str) -> Command {
        let mut apt = Command::new(tool);
        let mut option = |name: &str, value: PathBuf| {
            apt.arg("-o").arg(format!("{name}={}", value.display()));
        };
        option("Dir::Etc::SourceList", self.folder.join("sources.list"));
        option("Dir::Etc::SourceParts", self.folder.join("parts"));
        option("Dir::State", self.folder.clone());
        option("Dir::State::Lists", self.folder.join("lists"));
        option("Dir::State::Status", self.folder.join("status"));
        option("Dir::Cache", self.folder.join("cache"));
        apt.args(["-o", "APT::Architecture=amd64", "-o", "APT::Architectures=amd64"]);
        apt.args(["-o", "Acquire::Languages=none", "-o", "APT::Get::List-Cleanup=false"]);
        if privilege::is_root() {
            // apt would become a user who may not write below our folder.
            apt.args(["-o", "APT::Sandbox::User=root"]);
        }
        apt
    }
}

/// The Debian mirror that apt is configured with.
fn mirror() -> Result<String> {
    if let Ok(mirror) = std::env::var(MIRROR_VARIABLE) {
        return Ok(mirror);
    }
    let format = ["indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)", "Created-By: Packages"];
    let targets = command::output(Command::new("apt-get").args(format))?;
    debian_mirror(&targets).map(str::to_owned).with_context(|| {
        format!("find a Debian mirror in apt's configuration: run `apt-get update` as root, or name one in {MIRROR_VARIABLE}")
    })
}

/// Of lines "ORIGIN CODENAME URI" the first of Debian's main archive.
fn debian_mirror(targets: &str) -> Option<&str> {
    targets.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (origin, codename, uri) = (words.next()?, words.next()?, words.next()?);
        let side_archive = codename.ends_with("-security") || uri.trim_end_matches('/').ends_with("-security");
        (origin == "Debian" && !side_archive).then_some(uri)
    })
}

#[cfg(test)]
mod tests {
    use super::debian_mirror;

    #[test]
    fn the_mirror_is_debians_main_archive() {
        let targets = "Other nodistro http://one/x\nDebian bookworm-security http://two/debian-security/\n\
                       Debian bookworm http://two/debian/\n";
        assert_eq!(debian_mirror(targets), Some("http://two/debian/"));
        assert_eq!(debian_mirror("Ubuntu noble http://three/ubuntu/\n"), None);
    }
}
