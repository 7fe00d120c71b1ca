//! What a stream's view shows of a change, and whether there was one.
//!
//! Both images of every change are kept, whatever the view type of the stream: only so can a write that left the item as it
//! was be told apart. AWS writes no record of such a write, so here it is never shown. dynoxide writes numbers in one form
//! and sets in one order, so items of the same values are equal. A record from before both images were kept is shown as it
//! is. Reads no database.

use dynoxide::Item;
use dynoxide::types::item_size;

use super::pages::Change;

/// The view that dynoxide keeps records by.
pub(super) const BOTH_IMAGES: &str = "NEW_AND_OLD_IMAGES";

/// The change as a stream of `view_type` shows it; `None` if it changed nothing.
pub(super) fn shown(change: Change, view_type: &str) -> Option<Change> {
    let (new, old) = (change.new_image.map(Image::of), change.old_image.map(Image::of));
    // What cannot be read is shown rather than lost.
    if let (Some(Image { item: Some(new), .. }), Some(Image { item: Some(old), .. })) = (&new, &old)
        && new == old
    {
        return None;
    }
    let new = new.filter(|_| matches!(view_type, "NEW_IMAGE" | BOTH_IMAGES));
    let old = old.filter(|_| matches!(view_type, "OLD_IMAGE" | BOTH_IMAGES));
    let keys = Image::of(change.keys);
    let size = [&new, &old].into_iter().flatten().chain([&keys]).map(Image::size).sum();
    let json = |image: Image| image.json;
    Some(Change { keys: keys.json, new_image: new.map(json), old_image: old.map(json), size, ..change })
}

/// An item that is stored as JSON, and what can be read of it.
struct Image {
    json: String,
    item: Option<Item>,
}

impl Image {
    fn of(json: String) -> Self {
        let item = serde_json::from_str(&json).ok();
        Self { json, item }
    }

    /// The size of the item; the length of the JSON if it is none of ours.
    fn size(&self) -> usize {
        self.item.as_ref().map_or(self.json.len(), item_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(new: Option<&str>, old: Option<&str>) -> Change {
        let image = |json: Option<&str>| json.map(str::to_owned);
        Change {
            id: 7,
            event_name: "MODIFY".to_owned(),
            keys: r#"{"pk":{"S":"a"}}"#.to_owned(),
            new_image: image(new),
            old_image: image(old),
            created_at: 0,
            user_identity: None,
            size: 0,
        }
    }

    #[test]
    fn the_same_values_are_no_change_in_whatever_order_of_names() {
        let same = [
            (r#"{"a":{"N":"1"},"b":{"S":"x"}}"#, r#"{"b":{"S":"x"},"a":{"N":"1"}}"#),
            (
                r#"{"a":{"M":{"l":{"L":[{"NULL":true},{"BOOL":false}]},"b":{"B":"AQI="}}}}"#,
                r#"{"a":{"M":{"b":{"B":"AQI="},"l":{"L":[{"NULL":true},{"BOOL":false}]}}}}"#,
            ),
        ];
        for (new, old) in same {
            assert!(shown(change(Some(new), Some(old)), BOTH_IMAGES).is_none(), "{new} and {old}");
        }
        let different = [
            (r#"{"a":{"N":"1"}}"#, r#"{"a":{"S":"1"}}"#),
            (r#"{"a":{"N":"1"}}"#, r#"{"b":{"N":"1"}}"#),
            (r#"{"a":{"N":"1"},"b":{"N":"1"}}"#, r#"{"a":{"N":"1"}}"#),
            (r#"{"a":{"L":[{"N":"1"},{"N":"2"}]}}"#, r#"{"a":{"L":[{"N":"2"},{"N":"1"}]}}"#),
            (r#"{"a":{"SS":["x","y"]}}"#, r#"{"a":{"SS":["x","z"]}}"#),
            (r#"{"a":{"M":{}}}"#, r#"{"a":{"L":[]}}"#),
            ("nonsense", r#"{"a":{"N":"1"}}"#),
        ];
        for (new, old) in different {
            assert!(shown(change(Some(new), Some(old)), BOTH_IMAGES).is_some(), "{new} and {old}");
        }
    }

    #[test]
    fn a_view_shows_its_images_and_counts_no_others() {
        let (new, old) = (r#"{"pk":{"S":"a"},"x":{"S":"12345"}}"#, r#"{"pk":{"S":"a"}}"#);
        for (view, has_new, has_old, size) in [
            ("KEYS_ONLY", false, false, 3),
            ("NEW_IMAGE", true, false, 3 + 9),
            ("OLD_IMAGE", false, true, 3 + 3),
            (BOTH_IMAGES, true, true, 3 + 9 + 3),
        ] {
            let shown = shown(change(Some(new), Some(old)), view).expect("a change");
            assert_eq!((shown.new_image.is_some(), shown.old_image.is_some()), (has_new, has_old), "{view}");
            assert_eq!(shown.size, size, "{view}");
        }
    }

    #[test]
    fn what_was_kept_without_both_images_is_shown_as_it_is() {
        for (new, old) in [(None, None), (Some("{}"), None), (None, Some("{}"))] {
            assert!(shown(change(new, old), BOTH_IMAGES).is_some());
        }
    }
}
