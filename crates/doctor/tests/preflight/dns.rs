//! A DNS server that answers from a function, and counts.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

/// What the server says about a name.
pub(crate) enum Records {
    /// It has these addresses.
    Addresses(Vec<IpAddr>),
    /// An error, for A and AAAA.
    Error(ResponseCode),
    /// An error for AAAA alone.
    OnlyV4(IpAddr, ResponseCode),
    /// Nothing at all.
    Silence,
}

pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    questions: Arc<Mutex<HashMap<String, usize>>>,
    task: AbortHandle,
}

impl DnsServer {
    pub(crate) async fn start(zone: fn(&str) -> Records) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let questions: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let count = questions.clone();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let name = question.queries[0].name().to_ascii();
                let name = name.trim_end_matches('.').to_owned();
                let answer = answer(&question, zone(&name));
                *count.lock().unwrap().entry(name).or_default() += 1;
                if let Some(answer) = answer {
                    socket
                        .send_to(&answer.to_vec().unwrap(), from)
                        .await
                        .unwrap();
                }
            }
        });
        Self {
            address,
            questions,
            task: task.abort_handle(),
        }
    }

    pub(crate) fn questions(&self, name: &str) -> usize {
        self.questions
            .lock()
            .unwrap()
            .get(name)
            .copied()
            .unwrap_or(0)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(question: &Message, records: Records) -> Option<Message> {
    let query = question.queries[0].clone();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.message_type = MessageType::Response;
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    let kind = query.query_type();
    let mut add = |address: IpAddr| {
        let data = match address {
            IpAddr::V4(address) => RData::A(address.into()),
            IpAddr::V6(address) => RData::AAAA(address.into()),
        };
        if data.record_type() == kind {
            answer
                .answers
                .push(Record::from_rdata(query.name().clone(), 60, data));
        }
    };
    let code = match records {
        Records::Addresses(addresses) => {
            addresses.into_iter().for_each(&mut add);
            ResponseCode::NoError
        }
        Records::Error(code) => code,
        Records::OnlyV4(_, code) if kind == RecordType::AAAA => code,
        Records::OnlyV4(address, _) => {
            add(address);
            ResponseCode::NoError
        }
        Records::Silence => return None,
    };
    answer.metadata.response_code = code;
    answer.queries.push(query);
    Some(answer)
}
