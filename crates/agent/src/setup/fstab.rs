//! Editing fstab(5) as text: whatever is not concerned keeps every character.

/// Leaves out the entries for some mount points and adds lines. An added line replaces all entries for its own mount
/// point, so that applying the same edit again changes nothing.
#[must_use]
pub fn edit(text: &str, drop_mountpoints: &[String], add: &[String]) -> String {
    let added: Vec<&str> = add.iter().filter_map(|line| mount_point(line)).collect();
    let mut edited = String::with_capacity(text.len() + 256);
    for line in text.split_inclusive('\n') {
        let goes = mount_point(line).is_some_and(|point| {
            added.iter().any(|other| same(other, point))
                || drop_mountpoints.iter().any(|other| same(other, point))
        });
        if !goes {
            edited.push_str(line);
        }
    }
    if !edited.is_empty() && !edited.ends_with('\n') {
        edited.push('\n');
    }
    for line in add {
        edited.push_str(line);
        edited.push('\n');
    }
    edited
}

fn mount_point(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if line.starts_with('#') {
        None
    } else {
        line.split_ascii_whitespace().nth(1)
    }
}

fn same(left: &str, right: &str) -> bool {
    let bare = |point: &str| {
        if point == "/" {
            "/".to_owned()
        } else {
            point.trim_end_matches('/').to_owned()
        }
    };
    bare(left) == bare(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# the image's own\nUUID=1 /  ext4 defaults 0 1\n\n  /dev/sdb1\t/home/ ext4 x 0 2\n#x /var y\n/dev/c /var ext4 d 0 2\nLABEL=z /data xfs a 0 0";

    #[test]
    fn dropped_entries_go_and_kept_lines_keep_their_text() {
        let edited = edit(
            TEXT,
            &["/home".into(), "/var".into()],
            &["tmpfs /tmp tmpfs mode=1777 0 0".into()],
        );
        let expected = "# the image's own\nUUID=1 /  ext4 defaults 0 1\n\n#x /var y\nLABEL=z /data xfs a 0 0\ntmpfs /tmp tmpfs mode=1777 0 0\n";
        assert_eq!(edited, expected);
    }

    #[test]
    fn the_same_edit_again_changes_nothing() {
        let add = [
            "tmpfs /run tmpfs x 0 0".to_owned(),
            "tmpfs /tmp tmpfs y 0 0".to_owned(),
        ];
        let once = edit(TEXT, &["/home".into()], &add);
        assert_eq!(edit(&once, &["/home".into()], &add), once);
    }

    #[test]
    fn an_image_without_the_file_gets_the_added_lines_alone() {
        assert_eq!(
            edit("", &["/var".into()], &["a /b c d 0 0".into()]),
            "a /b c d 0 0\n"
        );
    }
}
