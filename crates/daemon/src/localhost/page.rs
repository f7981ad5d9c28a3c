//! Answers of the daemon's own.

/// An answer that closes the connection.
pub(super) fn text(status: &str, words: &str) -> Vec<u8> {
    page(status, "text/plain; charset=utf-8", &format!("{words}\n"))
}

/// A page that names the ports of a VM. Names of VMs are letters, digits and hyphens.
pub(super) fn choice(vm: &str, ports: &[u16], at: u16) -> Vec<u8> {
    let link = |port: &u16| {
        format!("<li><a href=\"http://{port}.{vm}.localhost:{at}/\">port {port}</a></li>\n")
    };
    let links: String = ports.iter().map(link).collect();
    let body = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{vm}</title>\n<h1>{vm}</h1>\n<ul>\n{links}</ul>\n"
    );
    page("300 Multiple Choices", "text/html; charset=utf-8", &body)
}

fn page(status: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}
