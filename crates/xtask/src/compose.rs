//! The two lines of Docker Compose that people have: the old one in Python, and the one that came after it. Both are called
//! as `docker-compose` is: `PROGRAM --file FILE up`.

use std::path::{Path, PathBuf};

use crate::run;

/// The first line's program. The second goes by the same name, and may come before it on the path.
pub(crate) fn first() -> Option<PathBuf> {
    run::all("docker-compose").find(|program| line(program) == Some(1))
}

/// The second line's program: Docker's plugin, which also works without Docker's command line, or one on the path.
pub(crate) fn second(engine: &str) -> Option<PathBuf> {
    let plugin = r#"{{range .ClientInfo.Plugins}}{{if eq .Name "compose"}}{{.Path}}{{end}}{{end}}"#;
    // Docker tells nothing of its plugins unless an engine answers.
    let mut info = run::command("docker", &["info", "--format", plugin]);
    let plugin = run::output(info.env("DOCKER_HOST", engine)).map(PathBuf::from);
    let mut candidates = plugin.into_iter().chain(run::all("docker-compose"));
    candidates.find(|program| line(program) >= Some(2))
}

/// Which line a program is of, if it is one.
fn line(program: &Path) -> Option<u32> {
    major(&run::answer(program.to_str()?, &["version", "--short"])?)
}

/// The first number of `1.29.2`, `2.29.7` or `v2.29.7`.
fn major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_tells_its_line() {
        assert_eq!(major("1.29.2"), Some(1));
        assert_eq!(major("2.29.7"), Some(2));
        assert_eq!(major("v2.29.7"), Some(2));
        assert_eq!(major("v5.0.0-rc.1"), Some(5));
        assert_eq!(major("unknown"), None);
        assert_eq!(major(""), None);
    }
}
