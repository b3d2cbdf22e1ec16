// SPDX-License-Identifier: Apache-2.0
//! References to images: `registry:5000/shop/cart:1.2@sha256:…`.

use std::sync::Arc;

use vor_model::{Attrs, Key};

const CONTAINER_ID: Key = Key::new("container.id");
const IMAGE_NAME: Key = Key::new("container.image.name");
const IMAGE_TAGS: Key = Key::new("container.image.tags");

/// Says of a container which one it is and which image it runs.
pub(crate) fn describe(attrs: &mut Attrs, id: &Arc<str>, image: &str) {
    attrs.set(CONTAINER_ID, Arc::clone(id));
    let name = name(image);
    if !name.is_empty() {
        attrs.set(IMAGE_NAME, name.to_owned());
    }
    if let Some(tag) = tag(image) {
        attrs.set(IMAGE_TAGS, vec![Arc::from(tag)]);
    }
}

/// The image's tag.
pub(crate) fn tag(image: &str) -> Option<&str> {
    split(image).1
}

/// The image without tag and digest. Empty for one that is known by its digest only.
fn name(image: &str) -> &str {
    split(image).0
}

fn split(image: &str) -> (&str, Option<&str>) {
    let (image, _digest) = image.split_once('@').unwrap_or((image, ""));
    match image.rsplit_once(':') {
        Some(("sha256", _)) => ("", None),
        // What follows the colon of a registry's port has a slash.
        Some((name, tag)) if !tag.contains('/') && !tag.is_empty() => (name, Some(tag)),
        _ => (image, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_name_and_perhaps_a_tag() {
        for (image, expected) in [
            ("nginx", ("nginx", None)),
            ("nginx:1.27", ("nginx", Some("1.27"))),
            ("registry:5000/shop/cart", ("registry:5000/shop/cart", None)),
            ("registry:5000/shop/cart:v1@sha256:00ff", ("registry:5000/shop/cart", Some("v1"))),
            ("shop/cart@sha256:00ff", ("shop/cart", None)),
            ("sha256:00ff", ("", None)),
            ("", ("", None)),
            ("odd:", ("odd:", None)),
        ] {
            assert_eq!(split(image), expected, "{image}");
        }
    }
}
