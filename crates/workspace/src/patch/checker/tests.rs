use super::*;
use crate::patch::Consent;

const A: &str = "1111111111111111111111111111111111111111";
const B: &str = "2222222222222222222222222222222222222222";

fn check_with(links: &[&str], text: &str) -> Result<Patch, PatchError> {
    let links = links.iter().map(|link| link.as_bytes().to_vec()).collect();
    let mut checker = Checker::new(PatchLimits::default(), links);
    checker.push(text.as_bytes())?;
    checker.finish()
}

fn check(text: &str) -> Result<Patch, PatchError> {
    check_with(&[], text)
}

fn new_file(path: &str, mode: &str, line: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nnew file mode {mode}\nindex {}..{B}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{line}\n",
        "0".repeat(40)
    )
}

fn link(path: &str, target: &str) -> String {
    new_file(path, "120000", target) + "\\ No newline at end of file\n"
}

fn refused(text: &str) -> String {
    check(text).unwrap_err().to_string()
}

#[test]
fn what_git_writes_passes() {
    let text = format!(
        "diff --git a/m b/m\nindex {A}..{B} 100644\n--- a/m\n+++ b/m\n@@ -1,2 +1,2 @@ fn x()\n context\n-old\n+new\n\\ No newline at end of file\n\
         diff --git a/x y b/x y\nold mode 100644\nnew mode 100755\n\
         diff --git a/e b/e\nnew file mode 100644\nindex {A}..e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\n\
         diff --git \"a/\\303\\244\\n\" \"b/\\303\\244\\n\"\ndeleted file mode 100644\nindex {A}..{B}\n--- \"a/\\303\\244\\n\"\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n\
         diff --git a/b b/b\nindex {A}..{B} 100644\nGIT binary patch\nliteral 3\nKcmYdHVqgFO03ZMY\n\nliteral 0\nHcmV?d00001\n\n\
         {}",
        link("l", "m")
    );
    let patch = check(&text).unwrap();
    let paths: Vec<_> = patch
        .files
        .iter()
        .map(|file| String::from_utf8_lossy(&file.path).into_owned())
        .collect();
    assert_eq!(paths, ["m", "x y", "e", "ä\n", "b", "l"]);
    assert_eq!(patch.files[0].added, 1);
    assert!(patch.files[4].binary);
    let consent: Vec<_> = patch
        .consent()
        .into_iter()
        .map(|(file, why)| (file.path.clone(), why))
        .collect();
    let wanted = [
        (b"x y".to_vec(), Consent::Executable),
        (b"l".to_vec(), Consent::Link),
    ];
    assert_eq!(consent, wanted);
}

#[test]
fn it_does_not_matter_how_the_bytes_come() {
    let text = new_file("a", "100644", "x") + &link("l", "a");
    for size in 1..40 {
        let mut checker = Checker::new(PatchLimits::default(), BTreeSet::new());
        for piece in text.as_bytes().chunks(size) {
            checker.push(piece).unwrap();
        }
        assert_eq!(checker.finish().unwrap(), check(&text).unwrap());
    }
}

#[test]
fn paths_that_lead_elsewhere_are_named() {
    for path in [
        "../../x",
        "a/../../x",
        "/etc/passwd",
        ".git/hooks/post-checkout",
        "a/.GIT/config",
        "git~1/x",
    ] {
        let told = refused(&new_file(path, "100644", "x"));
        assert!(told.contains(path), "{told}");
    }
    let quoted = new_file("X", "100644", "x")
        .replace("a/X b/X", "\"a/..\\057x\" \"b/..\\057x\"")
        .replace("+++ b/X", "+++ \"b/..\\057x\"");
    assert!(refused(&quoted).contains("../x"));
}

#[test]
fn both_sides_must_name_the_same_file() {
    for (what, with) in [
        ("+++ b/good", "+++ b/evil"),
        ("+++ b/good", "+++ b/.git/config"),
        ("+++ b/good", "+++ /dev/null"),
        ("+++ b/good", "+++ good"),
        ("a/good b/good", "a/good b/evil"),
        ("--- /dev/null", "--- a/good"),
    ] {
        let text = new_file("good", "100644", "x").replace(what, with);
        assert!(check(&text).is_err(), "{what} -> {with}");
    }
}

#[test]
fn nothing_is_written_through_links() {
    let behind = link("d", "e") + &new_file("d/x", "100644", "x");
    assert!(refused(&behind).contains("d/x"));
    let before = new_file("d/x", "100644", "x") + &link("d", "e");
    assert!(refused(&before).contains("d/x"));
    let told = check_with(&["d"], &new_file("d/x", "100644", "x"))
        .unwrap_err()
        .to_string();
    assert!(told.contains("d/x"), "{told}");
    let gone = format!(
        "diff --git a/d b/d\ndeleted file mode 120000\nindex {A}..{B}\n--- a/d\n+++ /dev/null\n@@ -1 +0,0 @@\n-e\n\\ No newline at end of file\n"
    );
    assert!(check_with(&["d"], &(gone.clone() + &new_file("d/x", "100644", "x"))).is_ok());
    let modified = format!(
        "diff --git a/d/x b/d/x\nindex {A}..{B} 100644\n--- a/d/x\n+++ b/d/x\n@@ -1 +1 @@\n-a\n+b\n"
    );
    assert!(check_with(&["d"], &(gone + &modified)).is_err());
}

#[test]
fn links_out_of_the_repository_are_refused() {
    for (path, target) in [
        ("l", "/etc"),
        ("l", "../x"),
        ("a/l", "../../x"),
        ("l", ".git/config"),
        ("l", "x/../../y"),
    ] {
        assert!(
            refused(&link(path, target)).contains(path),
            "{path} -> {target}"
        );
    }
    let two_lines = link("l", "a").replace("@@ -0,0 +1 @@\n+a", "@@ -0,0 +1,2 @@\n+a\n+/../../b");
    assert!(check(&two_lines).is_err());
    let changed = format!(
        "diff --git a/l b/l\nindex {A}..{B} 120000\n--- a/l\n+++ b/l\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+/etc\n\\ No newline at end of file\n"
    );
    assert!(refused(&changed).contains("absolute"));
    let binary = format!(
        "diff --git a/l b/l\nnew file mode 120000\nindex {A}..{B}\nGIT binary patch\nliteral 3\nKcmYdHVqgFO03ZMY\n\nliteral 0\nHcmV?d00001\n\n"
    );
    assert!(refused(&binary).contains("target"));
    let becomes = format!(
        "diff --git a/f b/f\nold mode 100644\nnew mode 120000\nindex {A}..{B}\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+/etc\n"
    );
    assert!(refused(&becomes).contains("kind"));
}

#[test]
fn lines_that_git_apply_would_skip_or_read_otherwise_are_refused() {
    let good = new_file("a", "100644", "x");
    for text in [
        format!("hello\n{good}"),
        format!("{good}hello\n"),
        format!("{good}\n{good}"),
        format!("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n{good}"),
        good.replace("diff --git", "diff -u"),
        good.replace("new file", "rename from x\nnew file"),
        good.replace("new file mode 100644", "new file mode 100644\ncopy to ../x"),
        good.replace("100644", "160000"),
        good.replace("100644", "104755"),
        good.replace("@@ -0,0 +1 @@", "@@ -0,0 +1,2 @@"),
        good.replace("@@ -0,0 +1 @@", "@@ -0,0 +99999999999 @@"),
        good.replace("+x", "+x\n+y"),
        good.replace("+x", "\n+x"),
        good.replace("+x", "\\ anything else here"),
        good.replace(B, "222"),
        good.replace('\n', "\r\n"),
        format!("{good}\\ No newline at end of file\n\\ No newline at end of file\n"),
        format!("diff --git a/m b/m\nindex {A}..{B}\n--- a/m\n+++ b/m\n@@ -1 +1 @@\n-a\n+b\n"),
        format!("diff --git a/m b/m\nindex {A}..{B} 100644\n"),
        "diff --git a/m b/m\nold mode 100644\n".to_owned(),
        format!("{good}{good}"),
        "diff --git a/x b/y\nrename from x\nrename to y\n".to_owned(),
        "GIT binary patch\n".to_owned(),
    ] {
        assert!(check(&text).is_err(), "{text}");
    }
    assert_eq!(check("").unwrap(), Patch::default());
}

#[test]
fn a_patch_that_is_cut_is_not_taken_for_a_smaller_one() {
    let text = new_file("a", "100644", "x");
    let whole = text.len();
    for end in 1..whole {
        assert!(check(&text[..end]).is_err(), "{}", &text[..end]);
    }
}

#[test]
fn sizes_are_bounded() {
    let limits = PatchLimits {
        bytes: 1000,
        files: 2,
    };
    let mut checker = Checker::new(limits, BTreeSet::new());
    let endless = (0..100).try_for_each(|_| checker.push(&[b'x'; 100]));
    assert!(matches!(
        endless,
        Err(PatchError::TooMuch { what: "bytes", .. })
    ));
    let mut checker = Checker::new(
        PatchLimits {
            bytes: 1 << 30,
            files: 2,
        },
        BTreeSet::new(),
    );
    let many =
        (0..4).try_for_each(|n| checker.push(new_file(&n.to_string(), "100644", "x").as_bytes()));
    assert!(matches!(
        many,
        Err(PatchError::TooMuch { what: "files", .. })
    ));
    let bomb = format!(
        "diff --git a/b b/b\nindex {A}..{B} 100644\nGIT binary patch\nliteral 9999999999\n"
    );
    assert!(matches!(check(&bomb), Err(PatchError::TooMuch { .. })));
    let mut checker = Checker::new(PatchLimits::default(), BTreeSet::new());
    let long = (0..100).try_for_each(|_| checker.push(&[b'x'; 4096]));
    assert!(long.is_err());
}

#[test]
fn a_folder_may_become_a_link_when_all_in_it_goes() {
    let gone = |path: &str| {
        format!(
            "diff --git a/{path} b/{path}\ndeleted file mode 100644\nindex {A}..{B}\n--- a/{path}\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
        )
    };
    for text in [
        link("d", "e") + &gone("d/1") + &gone("d/sub/2"),
        gone("d/1") + &link("d", "e"),
    ] {
        assert!(check(&text).is_ok(), "{text}");
        // Behind a link that was there nothing is removed.
        assert!(check_with(&["d"], &gone("d/1")).is_err());
    }
}

#[test]
fn all_paths_that_are_refused_are_listed_up_to_a_bound() {
    let text = link("a/.venv/python", "/usr/bin/python3") + &new_file("ok", "100644", "x");
    let text = text + &link("b", "../x") + &new_file("d/.git/x", "100644", "x");
    let error = check(&text).unwrap_err();
    let paths: BTreeSet<_> = error.paths().iter().map(|one| &one.path[..]).collect();
    assert_eq!(paths, BTreeSet::from(["a/.venv/python", "b", "d/.git/x"]));
    let many: String = (0..100).map(|n| link(&format!("l{n}"), "/x")).collect();
    let told = check(&many).unwrap_err().to_string();
    assert!(told.contains("and 80 more"), "{told}");
}

#[test]
fn what_is_left_out_is_neither_judged_nor_in_what_passes() {
    let bad = link(".venv/bin/python3", "/usr/bin/python3");
    let good = new_file("src/x", "100644", "x");
    let text = format!("{bad}{good}{}", new_file(".venv/y", "100644", "y"));
    let words = [b":(exclude).venv".to_vec()];
    let selection = Pathspec::parse(&words, &[], b"").unwrap();
    for size in [1, 13, text.len()] {
        let mut checker = Checker::new(PatchLimits::default(), BTreeSet::new());
        checker = checker.selecting(selection.clone());
        for piece in text.as_bytes().chunks(size) {
            checker.push(piece).unwrap();
        }
        let patch = checker.finish().unwrap();
        assert_eq!(patch.left_out, 2);
        assert_eq!(patch.bytes, good.len() as u64);
        assert_eq!(patch.cut(text.clone().into_bytes()), good.as_bytes());
    }
    // A malformed file is refused all the same.
    let mut checker = Checker::new(PatchLimits::default(), BTreeSet::new()).selecting(selection);
    let broken = bad.replace("@@ -0,0 +1 @@", "@@ -0,0 +1,2 @@");
    assert!(
        checker
            .push(broken.as_bytes())
            .and_then(|()| checker.finish())
            .is_err()
    );
}

/// git's binary delta between two contents.
fn git_delta(old: &[u8], new: &[u8]) -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git")
            .args(args)
            .current_dir(place.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output();
        output.unwrap().stdout
    };
    git(&["init", "-q"]);
    std::fs::write(place.path().join("b"), old).unwrap();
    git(&["add", "b"]);
    std::fs::write(place.path().join("b"), new).unwrap();
    git(&["diff", "--binary", "--full-index"])
}

#[test]
fn limits_are_on_what_a_delta_makes_and_not_on_its_own_size() {
    // Copies of one piece: few bytes of delta make many.
    let piece: Vec<u8> = (0..15_000_u32)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes())
        .collect();
    let patch = git_delta(&piece, &piece.repeat(8));
    let text = String::from_utf8_lossy(&patch);
    assert!(
        text.contains("\ndelta ") && patch.len() < 4000,
        "{}",
        patch.len()
    );
    let check = |bytes: u64, patch: &[u8]| {
        let limits = PatchLimits { bytes, files: 9 };
        let mut checker = Checker::new(limits, BTreeSet::new());
        checker.push(patch)?;
        checker.finish()
    };
    let made = piece.len() as u64 * 8;
    assert!(check(made, &patch).is_ok());
    assert!(matches!(
        check(made - 1, &patch),
        Err(PatchError::TooMuch { .. })
    ));
    // The sum counts, not each.
    let twice = [&patch[..], text.replace("a/b b/b", "a/c b/c").as_bytes()].concat();
    assert!(matches!(
        check(made, &twice),
        Err(PatchError::TooMuch { .. })
    ));
    assert!(check(made * 2, &twice).is_ok());
}
