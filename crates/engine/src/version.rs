//! The version of a Release: from a tag, else the next patch as a pre-release.

use towpath_model::run::Run;

/// `X.Y.Z` of a tag `vX.Y.Z`.
fn of_tag(tag: &str) -> Option<[u64; 3]> {
    let mut numbers = tag.strip_prefix('v')?.split('.').map(|part| part.parse().ok());
    let version = [numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.next().is_none().then_some(version)
}

/// `X.Y.Z-rc1` of a tag `vX.Y.Z-rc1`.
fn of_pre_release_tag(tag: &str) -> Option<&str> {
    let (base, suffix) = tag.split_once('-')?;
    of_tag(base)?;
    let fits = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    suffix.split('.').all(fits).then(|| &tag[1..])
}

/// The version of what a Run seals. `newest` is the newest version tag that its commit contains.
///
/// A tag `vX.Y.Z` gives `X.Y.Z`, and `vX.Y.Z-rc1` gives `X.Y.Z-rc1`. Without one, the next patch as a pre-release: `X.Y.Z-RUN.gSHA`.
/// There is no `+`, because OCI tags refuse it.
pub(crate) fn version(run: &Run, newest: Option<&str>) -> String {
    let cause = &run.cause;
    if let Some(tag) = cause.reference.strip_prefix("refs/tags/") {
        if let Some([major, minor, patch]) = of_tag(tag) {
            return format!("{major}.{minor}.{patch}");
        }
        if let Some(version) = of_pre_release_tag(tag) {
            return version.to_owned();
        }
    }
    let base = match newest.and_then(of_tag) {
        Some([major, minor, patch]) => format!("{major}.{minor}.{}", patch + 1),
        None => "0.1.0".to_owned(),
    };
    format!("{base}-{}.g{}", run.number, cause.short_commit())
}

#[cfg(test)]
mod tests {
    use super::{of_pre_release_tag, of_tag};

    #[test]
    fn only_three_plain_numbers_are_a_version() {
        assert_eq!(of_tag("v1.20.3"), Some([1, 20, 3]));
        for other in ["1.2.3", "v1.2", "v1.2.3.4", "v1.2.x", "v1.2.3-rc1"] {
            assert_eq!(of_tag(other), None, "{other}");
        }
    }

    #[test]
    fn a_pre_release_tag_is_its_own_version() {
        assert_eq!(of_pre_release_tag("v1.2.3-rc1"), Some("1.2.3-rc1"));
        assert_eq!(of_pre_release_tag("v1.2.3-beta.2"), Some("1.2.3-beta.2"));
        for other in ["v1.2.3", "v1.2.3-", "v1.2-rc1", "v1.2.3-a..b", "v1.2.3-a+b", "v1.2.3-ä", "1.2.3-rc1"]
        {
            assert_eq!(of_pre_release_tag(other), None, "{other}");
        }
    }
}
