//! Messages of DNS, read and made. The codec is the `domain` crate's.

use std::net::IpAddr;

use banger_egress::Name;
use domain::base::iana::{Class, ExtendedErrorCode, Opcode, Rcode, Rtype};
use domain::base::message_builder::AnswerBuilder;
use domain::base::opt::ExtendedError;
use domain::base::{Message, MessageBuilder, ToName as _, Ttl};
use domain::rdata::{A, Aaaa, AllRecordData};

/// Longest answer without EDNS (RFC 1035, 2.3.4).
const PLAIN_BYTES: usize = 512;
/// Longest answer over UDP.
const UDP_MAX_BYTES: usize = 4096;
/// Records of an answer that are looked at.
const RECORDS_MAX: usize = 64;

/// A question of the guest's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The message.
    pub bytes: Vec<u8>,
    /// The name, when it is that of a host.
    pub name: Option<Name>,
    /// The type of record.
    pub rtype: Rtype,
    /// Longest answer that the guest takes over UDP.
    pub max_bytes: usize,
    /// It speaks EDNS.
    edns: bool,
}

/// Reads a message of the guest's.
///
/// # Errors
/// The answer to what is no question that could be carried on; none to what is no question at all.
pub fn parse_query(bytes: &[u8]) -> Result<Query, Option<Vec<u8>>> {
    let message = Message::from_slice(bytes).map_err(|_short| None)?;
    let header = message.header();
    if header.qr() {
        return Err(None);
    }
    if header.opcode() != Opcode::QUERY {
        return Err(Some(error(message, Rcode::NOTIMP)));
    }
    let Ok(question) = message.sole_question() else {
        return Err(Some(error(message, Rcode::FORMERR)));
    };
    if question.qclass() != Class::IN {
        return Err(Some(error(message, Rcode::REFUSED)));
    }
    let opt = message.opt();
    let max_bytes = opt.as_ref().map_or(PLAIN_BYTES, |opt| {
        usize::from(opt.udp_payload_size()).clamp(PLAIN_BYTES, UDP_MAX_BYTES)
    });
    Ok(Query {
        bytes: bytes.to_vec(),
        name: question.qname().to_string().parse().ok(),
        rtype: question.qtype(),
        max_bytes,
        edns: opt.is_some(),
    })
}

fn error(message: &Message<[u8]>, rcode: Rcode) -> Vec<u8> {
    MessageBuilder::new_vec()
        .start_error(message, rcode)
        .finish()
}

impl Query {
    fn message(&self) -> Option<&Message<[u8]>> {
        Message::from_slice(&self.bytes).ok()
    }

    fn start(&self, rcode: Rcode) -> Option<AnswerBuilder<Vec<u8>>> {
        let mut builder = MessageBuilder::new_vec().start_error(self.message()?, rcode);
        builder.header_mut().set_ra(true);
        Some(builder)
    }

    /// A message that is no question, of which only the number is known.
    #[must_use]
    pub fn unreadable(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            name: None,
            rtype: Rtype::ANY,
            max_bytes: PLAIN_BYTES,
            edns: false,
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.message().map_or(0, |message| message.header().id())
    }

    /// An answer without records.
    #[must_use]
    pub fn empty(&self, rcode: Rcode) -> Vec<u8> {
        self.start(rcode)
            .map(AnswerBuilder::finish)
            .unwrap_or_default()
    }

    /// A refusal with its words (RFC 8914: 15, blocked), for a guest that speaks EDNS.
    #[must_use]
    pub fn refused(&self, words: &str) -> Vec<u8> {
        let Some(builder) = self.start(Rcode::REFUSED) else {
            return Vec::new();
        };
        if !self.edns {
            return builder.finish();
        }
        let end = words.floor_char_boundary(300);
        let words =
            ExtendedError::<Vec<u8>>::new_with_str(ExtendedErrorCode::BLOCKED, &words[..end]);
        let mut builder = builder.additional();
        let _ = builder.opt(|opt| {
            opt.set_udp_payload_size(1232);
            // Without room for the words the refusal alone is sent.
            let _ = words.map(|words| opt.push(&words));
            Ok(())
        });
        builder.finish()
    }

    /// An answer with those of `addresses` that are of its type.
    #[must_use]
    pub fn addresses(&self, addresses: &[IpAddr], ttl: u32) -> Vec<u8> {
        let (Some(mut builder), Some(message)) = (self.start(Rcode::NOERROR), self.message())
        else {
            return Vec::new();
        };
        let Ok(question) = message.sole_question() else {
            return builder.finish();
        };
        let (name, ttl) = (question.qname(), Ttl::from_secs(ttl));
        for address in addresses {
            // What does not fit any more is left out.
            let _ = match (address, self.rtype) {
                (IpAddr::V4(v4), Rtype::A) => builder.push((name, Class::IN, ttl, A::new(*v4))),
                (IpAddr::V6(v6), Rtype::AAAA) => {
                    builder.push((name, Class::IN, ttl, Aaaa::new(*v6)))
                }
                _ => Ok(()),
            };
        }
        builder.finish()
    }
}

/// A question of the process's own.
#[must_use]
pub fn make_query(name: &Name, rtype: Rtype) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_rd(true);
    let mut builder = builder.question();
    let Ok(name) = name.as_str().parse::<domain::base::Name<Vec<u8>>>() else {
        return Vec::new();
    };
    // A vector takes it.
    let _ = builder.push((name, rtype, Class::IN));
    let mut builder = builder.additional();
    let _ = builder.opt(|opt| {
        opt.set_udp_payload_size(1232);
        Ok(())
    });
    builder.finish()
}

/// An answer of a name server of the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its code.
    pub rcode: Rcode,
    /// It was cut: the whole answer comes over TCP.
    pub is_cut: bool,
    /// Addresses in it.
    pub addresses: Vec<IpAddr>,
}

/// Reads the answer to `query`; `None` for what is none.
#[must_use]
pub fn parse_answer(bytes: &[u8], query: &[u8]) -> Option<Answer> {
    let message = Message::from_slice(bytes).ok()?;
    let query = Message::from_slice(query).ok()?;
    let header = message.header();
    if !header.qr() || header.id() != query.header().id() {
        return None;
    }
    let asked = query.sole_question().ok()?;
    match message.sole_question() {
        Ok(said) => {
            let same = said.qname().name_eq(&asked.qname())
                && said.qtype() == asked.qtype()
                && said.qclass() == asked.qclass();
            if !same {
                return None;
            }
        }
        // Some servers leave the question out of an error.
        Err(_) if header.rcode() != Rcode::NOERROR => {}
        Err(_) => return None,
    }
    let mut addresses = Vec::new();
    if let Ok(records) = message.answer() {
        for record in records.take(RECORDS_MAX).flatten() {
            match record
                .to_any_record::<AllRecordData<_, _>>()
                .map(|r| r.into_data())
            {
                Ok(AllRecordData::A(a)) => addresses.push(a.addr().into()),
                Ok(AllRecordData::Aaaa(a)) => addresses.push(a.addr().into()),
                _ => {}
            }
        }
    }
    Some(Answer {
        rcode: header.rcode(),
        is_cut: header.tc(),
        addresses,
    })
}

/// A message with another number.
#[must_use]
pub fn with_id(bytes: &[u8], id: u16) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(place) = bytes.first_chunk_mut::<2>() {
        *place = id.to_be_bytes();
    }
    bytes
}

/// The answer that tells a guest to ask again over TCP.
#[must_use]
pub fn cut(query: &Query) -> Vec<u8> {
    let Some(mut builder) = query.start(Rcode::NOERROR) else {
        return Vec::new();
    };
    builder.header_mut().set_tc(true);
    builder.finish()
}
