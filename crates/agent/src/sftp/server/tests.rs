use std::os::unix::fs::MetadataExt;

use super::*;

/// Sends packets of a kind and the fields behind the id, and gives the kinds and bodies of the answers.
fn talk(packets: &[(u8, Vec<u8>)]) -> Vec<(u8, Vec<u8>)> {
    let mut input = Vec::new();
    for (id, (kind, fields)) in packets.iter().enumerate() {
        let reply = Reply::new(*kind).u32(u32::try_from(id).unwrap());
        let mut bytes = reply.into_bytes();
        bytes.extend_from_slice(fields);
        let len = u32::try_from(bytes.len() - 4).unwrap();
        bytes[..4].copy_from_slice(&len.to_be_bytes());
        input.extend_from_slice(&bytes);
    }
    let mut output = Vec::new();
    serve(&input[..], &mut output).unwrap();
    let mut answers = Vec::new();
    let mut rest = &output[..];
    while let Some(packet) = packet::read(&mut rest).unwrap() {
        let body = packet.get(5..).unwrap_or_default().to_vec();
        answers.push((packet[0], body));
    }
    answers
}

fn string(text: &[u8]) -> Vec<u8> {
    let len = u32::try_from(text.len()).unwrap();
    [&len.to_be_bytes()[..], text].concat()
}

fn path(at: &Path) -> Vec<u8> {
    string(at.as_os_str().as_bytes())
}

fn code((kind, body): &(u8, Vec<u8>)) -> u32 {
    assert_eq!(*kind, kind::STATUS);
    u32::from_be_bytes(body[..4].try_into().unwrap())
}

#[test]
fn a_file_is_written_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a");
    let handle = string(&1_u32.to_be_bytes());
    let answers = talk(&[
        (
            3,
            [
                path(&file),
                vec![0, 0, 0, 0x1b],
                vec![0, 0, 0, 4],
                vec![0, 0, 1, 0xa0],
            ]
            .concat(),
        ),
        (6, [handle.clone(), vec![0; 8], string(b"hello")].concat()),
        (
            5,
            [handle.clone(), vec![0, 0, 0, 0, 0, 0, 0, 1], vec![0xff; 4]].concat(),
        ),
        (
            5,
            [
                handle.clone(),
                vec![0, 0, 0, 0, 0, 0, 0, 9],
                vec![0, 0, 0, 1],
            ]
            .concat(),
        ),
        (4, handle.clone()),
        (4, handle),
    ]);
    assert_eq!(answers[0].0, kind::HANDLE);
    assert_eq!(code(&answers[1]), status::OK);
    assert_eq!(answers[2], (kind::DATA, string(b"ello")));
    assert_eq!(code(&answers[3]), status::EOF);
    assert_eq!(code(&answers[4]), status::OK);
    assert_eq!(code(&answers[5]), status::FAILURE);
    let mode = fs::metadata(&file).unwrap().mode();
    assert_eq!(mode & 0o777, 0o640 & mode);
    assert_eq!(fs::read(file).unwrap(), b"hello");
}

#[test]
fn a_rename_replaces_only_when_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    fs::write(&a, "a").unwrap();
    fs::write(&b, "b").unwrap();
    let both = [path(&a), path(&b)].concat();
    let posix = [string(b"posix-rename@openssh.com"), both.clone()].concat();
    let answers = talk(&[(18, both), (200, posix)]);
    assert_eq!(code(&answers[0]), status::FAILURE);
    assert_eq!(code(&answers[1]), status::OK);
    assert_eq!(fs::read(b).unwrap(), b"a");
}

#[test]
fn a_large_directory_is_listed_whole() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..250 {
        fs::write(folder.path().join(number.to_string()), "").unwrap();
    }
    let handle = string(&1_u32.to_be_bytes());
    let more = (12, handle);
    let answers = talk(&[
        (11, path(folder.path())),
        more.clone(),
        more.clone(),
        more.clone(),
        more,
    ]);
    let count: u32 = answers[1..4]
        .iter()
        .map(|(kind, body)| {
            assert_eq!(*kind, kind::NAME);
            u32::from_be_bytes(body[..4].try_into().unwrap())
        })
        .sum();
    assert_eq!(count, 252);
    assert_eq!(code(&answers[4]), status::EOF);
}

#[test]
fn handles_run_out_before_memory_does() {
    let folder = tempfile::tempdir().unwrap();
    let packets = vec![(11, path(folder.path())); MAX_HANDLES + 1];
    let answers = talk(&packets);
    assert_eq!(answers[MAX_HANDLES - 1].0, kind::HANDLE);
    assert_eq!(code(&answers[MAX_HANDLES]), status::FAILURE);
}

#[test]
fn nonsense_is_answered_and_the_next_request_is_served() {
    let answers = talk(&[(99, vec![]), (3, vec![0, 0]), (16, string(b"/"))]);
    assert_eq!(code(&answers[0]), status::UNSUPPORTED);
    assert_eq!(code(&answers[1]), status::BAD_MESSAGE);
    assert_eq!(answers[2].0, kind::NAME);
}

#[test]
fn a_path_that_does_not_exist_yet_is_made_absolute() {
    let folder = tempfile::tempdir().unwrap();
    let new = real_path(&folder.path().join("./new")).unwrap();
    assert_eq!(new, folder.path().canonicalize().unwrap().join("new"));
    assert!(real_path(&folder.path().join("no/new")).is_err());
}
