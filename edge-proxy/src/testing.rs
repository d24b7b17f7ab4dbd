//! Worlds for the tests: instances on real sockets, and an edge before them.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use zeitwork_model::generation::Position;
use zeitwork_model::id::{EnvironmentId, InstanceId, OrganisationId, ProjectId};
use zeitwork_model::route::{Endpoint, Route};
use zeitwork_protocol::edge::{RouteChange, RouteTable};

use crate::access_log::Record;
use crate::limits::Limits;
use crate::routes::disk::{Disk, Journal};
use crate::routes::table::Table;
use crate::server::{Server, Settings};

/// The host that the tests route.
pub const HOST: &str = "app.localhost";

pub fn endpoint(port: u16) -> Endpoint {
    at(([127, 0, 0, 1], port).into())
}

pub fn at(address: SocketAddr) -> Endpoint {
    Endpoint { instance: InstanceId::new(), address }
}

pub fn route(endpoints: Vec<Endpoint>) -> Route {
    Route {
        organisation: OrganisationId::new(),
        project: ProjectId::new(),
        environment: EnvironmentId::new(),
        endpoints,
        timeout_ms: 5_000,
        shared_domain: false,
    }
}

pub fn table_of(generation: i64, hosts: &[(&str, Vec<Endpoint>)]) -> RouteTable {
    let routes: BTreeMap<String, Route> = hosts
        .iter()
        .map(|(host, endpoints)| ((*host).to_owned(), route(endpoints.clone())))
        .collect();
    RouteTable {
        version: 1,
        minimum_reader: 1,
        position: Position { epoch: 1, generation },
        routes,
    }
}

/// Leaves a table on disk as an edge that has ended would.
pub fn leave_on_disk(directory: &Path, table: RouteTable) {
    let memory = Table::new(&[]);
    memory.replace(table);
    let mut disk = Disk::new(directory);
    let written = Journal::write(&disk.beside(), &memory.freeze().unwrap()).unwrap();
    disk.adopt(written, &[]).unwrap();
}

/// An edge with two workers before some routes.
pub struct Edge {
    pub server: Server,
    pub table: Arc<Table>,
    pub generation: i64,
}

impl Edge {
    pub fn before(endpoints: Vec<Endpoint>) -> Self {
        Self::with(route(endpoints), Limits::default())
    }

    pub fn with(route: Route, limits: Limits) -> Self {
        Self::start(route, limits, None)
    }

    pub fn logging(route: Route, log: &SyncSender<Vec<Record>>) -> Self {
        Self::start(route, Limits::default(), Some(log))
    }

    fn start(route: Route, limits: Limits, log: Option<&SyncSender<Vec<Record>>>) -> Self {
        let table = Arc::new(Table::new(&[]));
        let mut routes = table_of(1, &[]);
        routes.routes.insert(HOST.to_owned(), route);
        table.replace(routes);
        let addresses = vec![([127, 0, 0, 1], 0).into()];
        let server = Server::start(&Settings { addresses, workers: 2, limits }, &table, log);
        Self { server: server.unwrap(), table, generation: 1 }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    pub fn change(&mut self, route: Option<Route>) {
        self.generation += 1;
        let generation = self.generation;
        let change = RouteChange { generation, host: HOST.to_owned(), route };
        self.table.apply(vec![change], Position { epoch: 1, generation });
    }

    pub async fn open(&self) -> Client {
        Client::open(self.address()).await
    }

    /// One exchange on a connection of its own; `head` without its end.
    pub async fn ask(&self, head: &str) -> Answer {
        let mut client = self.open().await;
        client.send(&format!("{head}\r\n\r\n")).await;
        client.answer().await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close")).await
    }

    pub fn in_flight(&self, endpoint: Endpoint) -> u32 {
        self.table.in_flight(endpoint.instance)
    }

    pub fn sum(&self, of: impl Fn(&crate::metrics::Counters) -> u64) -> u64 {
        self.server.counters().iter().map(|counters| of(counters)).sum()
    }
}

/// Waits for a fact, at most ten seconds.
pub async fn until(what: &str, mut fact: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if fact() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came true: {what}");
}

/// A raw client.
pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    counts: Option<Arc<Counts>>,
}

/// An answer, or a request: a head and what followed it.
#[derive(Debug, Clone)]
pub struct Answer {
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        self.headers(name).into_iter().next()
    }

    pub fn headers(&self, name: &str) -> Vec<String> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
            .collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub async fn open(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).await.unwrap())
    }

    pub fn of(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new(), counts: None }
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn fill(&mut self) -> io::Result<usize> {
        let read = self.stream.read_buf(&mut self.buffer);
        tokio::time::timeout(Duration::from_secs(10), read).await.expect("something in 10 s")
    }

    /// The next head.
    pub async fn head(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = self.buffer.drain(..end + 4).collect();
                if let Some(counts) = &self.counts {
                    counts.requests.fetch_add(1, Ordering::SeqCst);
                }
                return Ok(String::from_utf8(head).unwrap().trim_end().to_owned());
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// So many bytes.
    pub async fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// All until the other side closes.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill().await? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// The next message with its body, framed as HTTP/1.1 says.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        let head = self.head().await?;
        let mut answer = Answer { head, body: Vec::new() };
        if answer.header("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            answer.body = self.chunks().await?;
        } else if let Some(length) = answer.header("content-length") {
            answer.body = self.bytes(length.parse().unwrap()).await?;
        } else if answer.head.starts_with("HTTP/")
            && answer.header("connection").is_some_and(|c| c == "close")
        {
            answer.body = self.rest().await?;
        }
        Ok(answer)
    }

    /// A chunked body; trailers stand behind it as text.
    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.line().await?;
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            if size == 0 {
                break;
            }
            body.extend(self.bytes(size).await?);
            self.bytes(2).await?;
        }
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(body);
            }
            body.extend(line.into_bytes());
        }
    }

    pub async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|bytes| bytes == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Ok(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// An instance that answers each request by a function; raw, so that it can misbehave.
pub struct Instance {
    pub endpoint: Endpoint,
    counts: Arc<Counts>,
    /// Ends with the instance.
    _task: JoinSet<()>,
}

#[derive(Default)]
pub struct Counts {
    connections: AtomicUsize,
    open: AtomicUsize,
    requests: AtomicUsize,
}

/// Counts an open connection while it lives.
struct Open(Arc<Counts>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Instance {
    /// Runs `serve` for each connection.
    pub async fn raw<F>(serve: impl Fn(Client) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = at(listener.local_addr().unwrap());
        let counts = Arc::new(Counts::default());
        let counted = counts.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.connections.fetch_add(1, Ordering::SeqCst);
                counted.open.fetch_add(1, Ordering::SeqCst);
                let open = Open(counted.clone());
                let mut client = Client::of(stream);
                client.counts = Some(counted.clone());
                let serving = serve(client);
                connections.spawn(async move {
                    let _ = serving.await;
                    drop(open);
                });
            }
        });
        Self { endpoint, counts, _task: task }
    }

    /// Connections ever accepted.
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// Heads ever read.
    pub fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// Answers each request with its own head and body as text.
    pub async fn echo() -> Self {
        Self::answering(|request| {
            let text = format!("{}\n\n{}", request.head, request.text());
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
        })
        .await
    }

    /// Answers each request with the text that a function gives.
    pub async fn answering(
        answer: impl Fn(&Answer) -> String + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::raw(move |mut client| {
            let answer = answer.clone();
            async move {
                loop {
                    let request = client.answer().await?;
                    let text = answer(&request);
                    client.stream.write_all(text.as_bytes()).await?;
                }
            }
        })
        .await
    }
}
