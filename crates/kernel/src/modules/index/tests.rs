use banger_module_index::Index as Reader;

use super::*;

fn module(path: &str, depends: &[&str], aliases: &[&str]) -> IndexedModule {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    IndexedModule {
        path: path.to_owned(),
        name: module_name(path),
        info: ModInfo {
            depends: owned(depends),
            aliases: owned(aliases),
            ..ModInfo::default()
        },
        symbols: Vec::new(),
    }
}

fn files_of(modules: Vec<IndexedModule>, lists: KernelLists) -> BTreeMap<&'static str, Vec<u8>> {
    indexes(modules, lists).unwrap().into_iter().collect()
}

fn text<'a>(files: &'a BTreeMap<&'static str, Vec<u8>>, name: &str) -> &'a str {
    std::str::from_utf8(&files[name]).unwrap()
}

fn first(file: &[u8], key: &str) -> Option<String> {
    let found = Reader::open(file)
        .unwrap()
        .matching(key.as_bytes())
        .unwrap();
    let value = found.first()?;
    Some(String::from_utf8(value.bytes.to_vec()).unwrap())
}

#[test]
fn what_is_needed_is_listed_behind_its_users_in_text_and_index() {
    let files = files_of(
        vec![
            module(
                "kernel/fs/btrfs/btrfs.ko",
                &["libcrc32c", "raid6_pq", "xor"],
                &[],
            ),
            module("kernel/lib/libcrc32c.ko", &[], &[]),
            module("kernel/lib/raid6-pq.ko", &[], &[]),
            module("kernel/crypto/xor.ko", &["raid6_pq", "built_in"], &[]),
        ],
        KernelLists::default(),
    );
    let line = "kernel/fs/btrfs/btrfs.ko: kernel/crypto/xor.ko kernel/lib/raid6-pq.ko kernel/lib/libcrc32c.ko";
    assert!(
        text(&files, "modules.dep")
            .lines()
            .any(|other| other == line)
    );
    let dep = &files["modules.dep.bin"];
    assert_eq!(first(dep, "btrfs").as_deref(), Some(line));
    assert_eq!(
        first(dep, "raid6_pq").as_deref(),
        Some("kernel/lib/raid6-pq.ko:")
    );
}

#[test]
fn the_kernels_own_order_decides_which_of_two_drivers_comes_first() {
    let modules = || {
        vec![
            module("kernel/a.ko", &[], &["pci:v1*"]),
            module("kernel/b.ko", &[], &["pci:v1d2"]),
        ]
    };
    let by = |order: &str| {
        let lists = KernelLists {
            order: Some(order.as_bytes().to_vec()),
            ..KernelLists::default()
        };
        first(&files_of(modules(), lists)["modules.alias.bin"], "pci:v1d2")
    };
    assert_eq!(by("kernel/a.ko\nkernel/b.ko\n").as_deref(), Some("a"));
    assert_eq!(by("kernel/b.ko\nkernel/a.ko\n").as_deref(), Some("b"));
}

#[test]
fn device_nodes_symbols_and_soft_dependencies_are_listed() {
    let mut fuse = module(
        "kernel/fs/fuse/fuse.ko",
        &[],
        &["devname:fuse", "char-major-10-229", "fs-fuse"],
    );
    fuse.symbols = vec!["fuse_send".to_owned()];
    fuse.info.softdeps = vec!["pre: a post: b".to_owned()];
    fuse.info.weakdeps = vec!["c".to_owned()];
    let hostile = module("kernel/x.ko", &[], &["devname:../../etc", "char-major-1-2"]);
    let files = files_of(vec![fuse, hostile], KernelLists::default());
    let below_head = |name| text(&files, name).split_once('\n').unwrap().1;
    assert_eq!(below_head("modules.devname"), "fuse fuse c10:229\n");
    assert_eq!(
        below_head("modules.softdep"),
        "softdep fuse pre: a post: b\n"
    );
    assert_eq!(below_head("modules.weakdep"), "weakdep fuse c\n");
    assert_eq!(
        below_head("modules.symbols"),
        "alias symbol:fuse_send fuse\n"
    );
    assert_eq!(
        first(&files["modules.alias.bin"], "fs_fuse").as_deref(),
        Some("fuse")
    );
}

#[test]
fn what_is_built_in_is_known_by_name_and_alias() {
    let lists = KernelLists {
        builtin: Some(b"kernel/fs/ext4/ext4.ko\n".to_vec()),
        builtin_modinfo: Some(b"ext4.license=GPL\0ext4.alias=fs-ext4\0odd\0".to_vec()),
        order: None,
    };
    let files = files_of(Vec::new(), lists);
    assert_eq!(
        first(&files["modules.builtin.bin"], "ext4").as_deref(),
        Some("")
    );
    assert_eq!(
        first(&files["modules.builtin.alias.bin"], "fs_ext4").as_deref(),
        Some("ext4")
    );
    assert_eq!(text(&files, "modules.builtin"), "kernel/fs/ext4/ext4.ko\n");
}

#[test]
fn a_circle_is_told_by_the_name_of_one_on_it() {
    let modules = vec![
        module("top.ko", &["a"], &[]),
        module("a.ko", &["b"], &[]),
        module("b.ko", &["c"], &[]),
        module("c.ko", &["b", "below"], &[]),
        module("below.ko", &[], &[]),
    ];
    let error = indexes(modules, KernelLists::default())
        .unwrap_err()
        .to_string();
    assert!(
        error == "module b: it depends on itself, through its own dependencies"
            || error == "module c: it depends on itself, through its own dependencies",
        "{error}"
    );
}

#[test]
fn hostile_modules_are_bounded() {
    let chain: Vec<_> = (0..2000)
        .map(|n| module(&format!("m{n}.ko"), &[&format!("m{}", n + 1)], &[]))
        .collect();
    let error = indexes(chain, KernelLists::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("depends on is larger than the limit of 512"),
        "{error}"
    );
    let mut large = module("large.ko", &[], &[]);
    large.symbols = vec!["x".repeat(TEXT_MAX_BYTES + 1)];
    let error = indexes(vec![large], KernelLists::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("say about themselves is larger"), "{error}");
}

#[test]
fn an_alias_that_would_be_two_lines_is_left_out() {
    let odd = module("odd.ko", &[], &["a\nalias b evil", "fs-\u{e9}", "ok", ""]);
    let files = files_of(vec![odd], KernelLists::default());
    assert_eq!(text(&files, "modules.alias").lines().count(), 3);
    assert_eq!(
        first(&files["modules.alias.bin"], "ok").as_deref(),
        Some("odd")
    );
}
