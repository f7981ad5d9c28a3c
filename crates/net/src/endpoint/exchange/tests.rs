//! Exchanges of requests and answers, without a socket.

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a.secret.internal\r\n\r\n";

fn exchange() -> Exchange {
    let field = Field {
        name: "authorization".to_owned(),
        value: Zeroizing::new(b"Bearer SECRET".to_vec()),
        prefix: 7,
    };
    Exchange::new(
        "a.secret.internal".to_owned(),
        "api.example".to_owned(),
        field,
    )
}

fn sent(exchange: &mut Exchange) -> String {
    let text = String::from_utf8(exchange.to_host().to_vec()).unwrap();
    exchange.sent(text.len());
    text
}

fn given(exchange: &mut Exchange) -> String {
    let mut room = vec![0; 1 << 16];
    let count = exchange.give(&mut room);
    String::from_utf8(room[..count].to_vec()).unwrap()
}

#[test]
fn requests_follow_one_another_and_each_has_the_secret() {
    let mut exchange = exchange();
    let two = format!(
        "POST /a?x HTTP/1.1\r\nHost: a.secret.internal\r\nContent-Length: 3\r\n\r\nabc{GET}"
    );
    assert_eq!(exchange.take(two.as_bytes()), two.len());
    let first = sent(&mut exchange);
    assert!(
        first.ends_with("authorization: Bearer SECRET\r\ncontent-length: 3\r\n\r\nabc"),
        "{first}"
    );
    assert!(
        sent(&mut exchange).is_empty(),
        "the second one waits for the first answer"
    );
    exchange
        .answered(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh")
        .unwrap();
    assert_eq!(
        given(&mut exchange),
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh"
    );
    assert!(!exchange.is_idle());
    exchange.answered(b"i").unwrap();
    assert_eq!(given(&mut exchange), "i");
    let second = sent(&mut exchange);
    assert!(
        second
            .starts_with("GET / HTTP/1.1\r\nhost: api.example\r\nauthorization: Bearer SECRET\r\n"),
        "{second}"
    );
    let told: Vec<_> = exchange
        .told()
        .into_iter()
        .map(|one| one.method + " " + &one.path)
        .collect();
    assert_eq!(told, ["POST /a", "GET /"]);
    exchange
        .answered(b"HTTP/1.1 204 No Content\r\n\r\n")
        .unwrap();
    assert!(exchange.is_idle() && !exchange.is_over());
    // Nothing was asked.
    assert_eq!(exchange.answered(b"HTTP/1.1 200 OK\r\n\r\n"), Err(Cut));
}

#[test]
fn an_answer_streams_and_interim_answers_go_before_it() {
    let mut exchange = exchange();
    let head = "POST / HTTP/1.1\r\nHost: a.secret.internal\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
    exchange.take(head.as_bytes());
    assert!(sent(&mut exchange).contains("expect: 100-continue"));
    exchange.answered(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
    assert_eq!(given(&mut exchange), "HTTP/1.1 100 Continue\r\n\r\n");
    exchange.take(b"2\r\nhi\r\n0\r\n\r\n");
    assert_eq!(sent(&mut exchange), "2\r\nhi\r\n0\r\n\r\n");
    exchange
        .answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    assert!(given(&mut exchange).ends_with("transfer-encoding: chunked\r\n\r\n"));
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        exchange
            .answered(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
            .unwrap();
        assert_eq!(given(&mut exchange), format!("9\r\n{event}\r\n"));
    }
    exchange.answered(b"0\r\n\r\n").unwrap();
    assert_eq!(given(&mut exchange), "0\r\n\r\n");
    assert!(exchange.is_idle());
}

#[test]
fn a_guest_of_1_0_gets_no_chunks_and_then_the_end() {
    let mut exchange = exchange();
    exchange.take(b"GET / HTTP/1.0\r\n\r\n");
    assert!(sent(&mut exchange).contains("connection: close"));
    exchange
        .answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
        .unwrap();
    assert_eq!(
        given(&mut exchange),
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhi"
    );
    assert!(exchange.is_over());
}

#[test]
fn the_head_alone_has_a_length_and_no_body() {
    let mut exchange = exchange();
    exchange.take(b"HEAD / HTTP/1.1\r\nHost: a.secret.internal\r\n\r\n");
    sent(&mut exchange);
    exchange
        .answered(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        .unwrap();
    assert_eq!(
        given(&mut exchange),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    );
    assert!(exchange.is_idle());
}

#[test]
fn what_ends_too_early_is_cut_and_never_looks_whole() {
    let begun = |answer: &str| {
        let mut exchange = exchange();
        exchange.take(GET.as_bytes());
        sent(&mut exchange);
        exchange.answered(answer.as_bytes()).unwrap();
        exchange
    };
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi";
    assert_eq!(begun(sized).host_ended(true), Err(Cut));
    let unsaid = "HTTP/1.1 200 OK\r\n\r\nhi";
    assert_eq!(begun(unsaid).host_ended(false), Err(Cut));
    let mut whole = begun(unsaid);
    whole.host_ended(true).unwrap();
    assert!(whole.is_over());
    assert!(given(&mut whole).ends_with("connection: close\r\n\r\nhi"));
    assert_eq!(begun("HTTP/1.1 2").host_ended(true), Err(Cut));
    let mut silent = begun("");
    silent.host_ended(true).unwrap();
    assert!(given(&mut silent).starts_with("HTTP/1.1 502 "));
    // A connection that was used before.
    let mut used = begun("HTTP/1.1 204 No\r\n\r\n");
    given(&mut used);
    used.take(GET.as_bytes());
    used.host_ended(true).unwrap();
    assert!(used.is_over() && given(&mut used).is_empty());
    let mut half = exchange();
    half.take(b"POST / HTTP/1.1\r\nHost: a.secret.internal\r\nContent-Length: 3\r\n\r\na");
    assert_eq!(half.guest_ended(), Err(Cut));
}

#[test]
fn a_wrong_request_is_answered_and_nothing_of_it_goes_out() {
    let mut exchange = exchange();
    exchange.take(b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n");
    assert!(exchange.to_host().is_empty());
    let answer = given(&mut exchange);
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert!(exchange.is_over());
}

#[test]
fn nobody_fills_the_memory() {
    let mut exchange = exchange();
    exchange
        .take(b"POST / HTTP/1.1\r\nHost: a.secret.internal\r\nContent-Length: 99999999\r\n\r\n");
    let block = [b'a'; 4096];
    let taken: usize = (0..1000).map(|_| exchange.take(&block)).sum();
    assert!(taken <= 4 * HEAD_MAX_BYTES, "{taken}");
    let capacity = exchange.to_host.capacity();
    sent(&mut exchange);
    assert_eq!(exchange.to_host.capacity(), capacity);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
    exchange.answered(head).unwrap();
    let mut answered = 0;
    while exchange.room_for_answer() > 0 {
        let room = exchange.room_for_answer().min(block.len());
        exchange.answered(&block[..room]).unwrap();
        answered += room;
    }
    assert!(answered <= 3 * HEAD_MAX_BYTES, "{answered}");
}
