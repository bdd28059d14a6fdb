//! Brings Artifacts of earlier Jobs into a workspace: files at its root, an image as an OCI layout in `NAME.oci`.

use std::path::Path;

use towpath_api::agent::Input;
use towpath_artifact::extract::Limits;
use towpath_artifact::{ContentStore, UnpackError, image, unpack};

/// Why an Artifact was not brought in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error(transparent)]
    Files(#[from] UnpackError),
    #[error("the image cannot be written")]
    Image(#[from] std::io::Error),
}

/// Unpacks one Artifact below `into`.
pub(crate) fn bring(
    input: &Input,
    store: &ContentStore,
    into: &Path,
    limits: Limits,
) -> Result<(), InputError> {
    let Input { name, manifest } = input;
    if image::image_manifest(*manifest, store)?.is_some() {
        // Names of Artifacts have no separators, so this is below `into`.
        image::write_layout(*manifest, store, &into.join(format!("{name}.oci")))?;
    } else {
        unpack(*manifest, store, into, limits)?;
    }
    Ok(())
}
