//! The commands of Redis 7.4 and their ACL categories, as data.
//!
//! Source: the output of `COMMAND` of Redis 7.0.15 (names, categories, arity, positions of the
//! keys), and for the commands added until 7.4 <https://redis.io/docs/latest/commands/>.
//! Categories: <https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/>.
//! `auth`, `hello`, `quit` and `reset` are left out: no rule can deny them.

/// One command, or one subcommand of a command that has some.
pub(super) struct Command {
    /// As a rule of an ACL writes it: `get`, `config|get`.
    pub(super) name: &'static str,
    /// A bit for each of [`CATEGORIES`].
    categories: u32,
    /// Arguments that it takes: `%` is a key, `&` a channel.
    pub(super) arguments: &'static str,
}

/// A category: its name and its bit.
pub(super) const CATEGORIES: [(&str, u32); 21] = [
    ("@read", READ),
    ("@write", WRITE),
    ("@keyspace", KEYSPACE),
    ("@set", SET),
    ("@sortedset", SORTEDSET),
    ("@list", LIST),
    ("@hash", HASH),
    ("@string", STRING),
    ("@bitmap", BITMAP),
    ("@hyperloglog", HYPERLOGLOG),
    ("@geo", GEO),
    ("@stream", STREAM),
    ("@pubsub", PUBSUB),
    ("@admin", ADMIN),
    ("@fast", FAST),
    ("@slow", SLOW),
    ("@blocking", BLOCKING),
    ("@dangerous", DANGEROUS),
    ("@connection", CONNECTION),
    ("@transaction", TRANSACTION),
    ("@scripting", SCRIPTING),
];

const KEYSPACE: u32 = 1;
const READ: u32 = 1 << 1;
const WRITE: u32 = 1 << 2;
const SET: u32 = 1 << 3;
const SORTEDSET: u32 = 1 << 4;
const LIST: u32 = 1 << 5;
const HASH: u32 = 1 << 6;
const STRING: u32 = 1 << 7;
const BITMAP: u32 = 1 << 8;
const HYPERLOGLOG: u32 = 1 << 9;
const GEO: u32 = 1 << 10;
const STREAM: u32 = 1 << 11;
const PUBSUB: u32 = 1 << 12;
const ADMIN: u32 = 1 << 13;
const FAST: u32 = 1 << 14;
const SLOW: u32 = 1 << 15;
const BLOCKING: u32 = 1 << 16;
const DANGEROUS: u32 = 1 << 17;
const CONNECTION: u32 = 1 << 18;
const TRANSACTION: u32 = 1 << 19;
const SCRIPTING: u32 = 1 << 20;

/// The privileges of applications on keys.
pub(super) const ON_KEYS: &[&str] =
    &fill::<{ KEY_CATEGORIES.len() + count(Object::Key) }>(&KEY_CATEGORIES, Object::Key);

const KEY_CATEGORIES: [&str; 15] = [
    "@read", "@write", "@keyspace", "@string", "@hash", "@list", "@set", "@sortedset", "@stream",
    "@bitmap", "@hyperloglog", "@geo", "@blocking", "@fast", "@slow",
];

/// The privileges of applications on channels.
pub(super) const ON_CHANNELS: &[&str] =
    &fill::<{ 1 + count(Object::Channel) }>(&["@pubsub"], Object::Channel);

/// The privileges without an object. A command with subcommands stands for all of them. A script
/// may have no keys.
pub(super) const ON_NOTHING: &[&str] =
    &fill::<{ WITHOUT_OBJECT.len() + count(Object::Nothing) }>(&WITHOUT_OBJECT, Object::Nothing);

const WITHOUT_OBJECT: [&str; 14] = [
    "@connection", "@transaction", "@scripting", "client", "command", "function", "pubsub",
    "script", "eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro",
];

/// The kind of object that a command accesses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    Key,
    Channel,
    Nothing,
}

impl Command {
    /// The kind of object that the command accesses.
    pub(super) const fn object(&self) -> Object {
        let bytes = self.arguments.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            match bytes[i] {
                b'%' => return Object::Key,
                b'&' => return Object::Channel,
                _ => i += 1,
            }
        }
        Object::Nothing
    }

    /// Returns true if only an administrator may use it: it is `@admin` or `@dangerous`.
    pub(super) const fn is_powerful(&self) -> bool {
        self.categories & (ADMIN | DANGEROUS) != 0
    }

    /// Returns true if a rule with this word allows it. A category excludes administrators'
    /// commands: these have to be named.
    pub(super) fn is_meant_by(&self, word: &str) -> bool {
        match CATEGORIES.iter().find(|(name, _)| *name == word) {
            Some((_, bit)) => self.categories & bit != 0 && !self.is_powerful(),
            None => self.is_named_by(word),
        }
    }

    /// Returns true if it is this command, or one of its subcommands.
    pub(super) fn is_named_by(&self, word: &str) -> bool {
        self.name == word || self.name.strip_prefix(word).is_some_and(|rest| rest.starts_with('|'))
    }
}

const fn is_same(a: Object, b: Object) -> bool {
    a as u8 == b as u8
}

const fn count(object: Object) -> usize {
    let mut count = 0;
    let mut i = 0;
    while i < COMMANDS.len() {
        count += is_same(COMMANDS[i].object(), object) as usize;
        i += 1;
    }
    count
}

/// The given words, followed by the names of the commands on this kind of object.
const fn fill<const N: usize>(first: &[&'static str], object: Object) -> [&'static str; N] {
    let mut words = [""; N];
    let mut at = 0;
    while at < first.len() {
        words[at] = first[at];
        at += 1;
    }
    let mut i = 0;
    while i < COMMANDS.len() {
        if is_same(COMMANDS[i].object(), object) {
            words[at] = COMMANDS[i].name;
            at += 1;
        }
        i += 1;
    }
    words
}

const fn row(name: &'static str, categories: u32, arguments: &'static str) -> Command {
    Command { name, categories, arguments }
}

/// Administrators' commands, in calls that change nothing, reveal nothing and take no time,
/// whatever the answer: on something that does not exist, or with an invalid argument. `%` is a
/// random name. Commands without such a call are left out: `flushall`, `shutdown`, `replicaof`,
/// `debug`, `keys`, and others.
pub(super) const HARMLESS: &[(&str, &str)] = &[
    ("acl|deluser", "%"),
    ("acl|dryrun", "% ping"),
    ("acl|getuser", "%"),
    ("acl|log", "0"),
    ("acl|setuser", "% %"),
    ("acl|users", ""),
    ("bgsave", "%"),
    ("client|kill", "ADDR 0.0.0.0:0"),
    ("client|list", "ID 0"),
    ("client|no-evict", "%"),
    ("client|pause", "%"),
    ("client|unblock", "0"),
    ("config|get", "%"),
    ("config|set", "% 1"),
    ("info", "%"),
    ("lastsave", ""),
    ("latency|reset", "%"),
    ("module|list", ""),
    ("restore", "% -1 1"),
    ("role", ""),
    ("slowlog|len", ""),
    ("sort", "%"),
    ("sort_ro", "%"),
    ("swapdb", "% %"),
];

/// Administrators' commands in every release since Redis 6, and in Valkey. A server that does not
/// know one of them has renamed or removed it.
pub(super) const OF_EVERY_RELEASE: &[&str] = &[
    "acl|setuser", "bgsave", "config|get", "config|set", "debug", "flushall", "flushdb", "info",
    "keys", "migrate", "monitor", "replicaof", "restore", "save", "shutdown", "sort", "swapdb",
];

/// Harmless calls that detect access to every key: most accounts may use at least one of these
/// commands.
pub(super) const OF_EVERY_KEY: &[(&str, &str)] = &[
    ("get", "%"),
    ("exists", "%"),
    ("hget", "% 1"),
    ("llen", "%"),
    ("scard", "%"),
    ("zcard", "%"),
    ("xlen", "%"),
    ("del", "%"),
    ("lpop", "%"),
    ("xdel", "% 1-1"),
];

/// The commands, sorted by name.
pub(super) const COMMANDS: &[Command] = &[
    row("acl|cat", SLOW, ""),
    row("acl|deluser", ADMIN | SLOW | DANGEROUS, "1"),
    row("acl|dryrun", ADMIN | SLOW | DANGEROUS, "1 1"),
    row("acl|genpass", SLOW, ""),
    row("acl|getuser", ADMIN | SLOW | DANGEROUS, "1"),
    row("acl|help", SLOW, ""),
    row("acl|list", ADMIN | SLOW | DANGEROUS, ""),
    row("acl|load", ADMIN | SLOW | DANGEROUS, ""),
    row("acl|log", ADMIN | SLOW | DANGEROUS, ""),
    row("acl|save", ADMIN | SLOW | DANGEROUS, ""),
    row("acl|setuser", ADMIN | SLOW | DANGEROUS, "1"),
    row("acl|users", ADMIN | SLOW | DANGEROUS, ""),
    row("acl|whoami", SLOW, ""),
    row("append", WRITE | STRING | FAST, "% 1"),
    row("asking", FAST | CONNECTION, ""),
    row("bgrewriteaof", ADMIN | SLOW | DANGEROUS, ""),
    row("bgsave", ADMIN | SLOW | DANGEROUS, ""),
    row("bitcount", READ | BITMAP | SLOW, "%"),
    row("bitfield", WRITE | BITMAP | SLOW, "%"),
    row("bitfield_ro", READ | BITMAP | FAST, "%"),
    row("bitop", WRITE | BITMAP | SLOW, "1 % %"),
    row("bitpos", READ | BITMAP | SLOW, "% 1"),
    row("blmove", WRITE | LIST | SLOW | BLOCKING, "% % 1 1 1"),
    row("blmpop", WRITE | LIST | SLOW | BLOCKING, "1 1 % LEFT"),
    row("blpop", WRITE | LIST | SLOW | BLOCKING, "% 1"),
    row("brpop", WRITE | LIST | SLOW | BLOCKING, "% 1"),
    row("brpoplpush", WRITE | LIST | SLOW | BLOCKING, "% % 1"),
    row("bzmpop", WRITE | SORTEDSET | SLOW | BLOCKING, "1 1 % MIN"),
    row("bzpopmax", WRITE | SORTEDSET | FAST | BLOCKING, "% 1"),
    row("bzpopmin", WRITE | SORTEDSET | FAST | BLOCKING, "% 1"),
    row("client|caching", SLOW | CONNECTION, "1"),
    row("client|getname", SLOW | CONNECTION, ""),
    row("client|getredir", SLOW | CONNECTION, ""),
    row("client|help", SLOW | CONNECTION, ""),
    row("client|id", SLOW | CONNECTION, ""),
    row("client|info", SLOW | CONNECTION, ""),
    row("client|kill", ADMIN | SLOW | DANGEROUS | CONNECTION, "1"),
    row("client|list", ADMIN | SLOW | DANGEROUS | CONNECTION, ""),
    row("client|no-evict", ADMIN | SLOW | DANGEROUS | CONNECTION, "1"),
    row("client|no-touch", SLOW | CONNECTION, "1"),
    row("client|pause", ADMIN | SLOW | DANGEROUS | CONNECTION, "1"),
    row("client|reply", SLOW | CONNECTION, "1"),
    row("client|setinfo", SLOW | CONNECTION, "1 1"),
    row("client|setname", SLOW | CONNECTION, "1"),
    row("client|tracking", SLOW | CONNECTION, "1"),
    row("client|trackinginfo", SLOW | CONNECTION, ""),
    row("client|unblock", ADMIN | SLOW | DANGEROUS | CONNECTION, "1"),
    row("client|unpause", ADMIN | SLOW | DANGEROUS | CONNECTION, ""),
    row("cluster|addslots", ADMIN | SLOW | DANGEROUS, "1"),
    row("cluster|addslotsrange", ADMIN | SLOW | DANGEROUS, "1 1"),
    row("cluster|bumpepoch", ADMIN | SLOW | DANGEROUS, ""),
    row("cluster|count-failure-reports", ADMIN | SLOW | DANGEROUS, "1"),
    row("cluster|countkeysinslot", SLOW, "1"),
    row("cluster|delslots", ADMIN | SLOW | DANGEROUS, "1"),
    row("cluster|delslotsrange", ADMIN | SLOW | DANGEROUS, "1 1"),
    row("cluster|failover", ADMIN | SLOW | DANGEROUS, ""),
    row("cluster|flushslots", ADMIN | SLOW | DANGEROUS, ""),
    row("cluster|forget", ADMIN | SLOW | DANGEROUS, "1"),
    row("cluster|getkeysinslot", SLOW, "1 1"),
    row("cluster|help", SLOW, ""),
    row("cluster|info", SLOW, ""),
    row("cluster|keyslot", SLOW, "1"),
    row("cluster|links", SLOW, ""),
    row("cluster|meet", ADMIN | SLOW | DANGEROUS, "1 1"),
    row("cluster|myid", SLOW, ""),
    row("cluster|myshardid", SLOW, ""),
    row("cluster|nodes", SLOW, ""),
    row("cluster|replicas", ADMIN | SLOW | DANGEROUS, "1"),
    row("cluster|replicate", ADMIN | SLOW | DANGEROUS, "1"),
    row("cluster|reset", ADMIN | SLOW | DANGEROUS, ""),
    row("cluster|saveconfig", ADMIN | SLOW | DANGEROUS, ""),
    row("cluster|set-config-epoch", ADMIN | SLOW | DANGEROUS, "1"),
    row("cluster|setslot", ADMIN | SLOW | DANGEROUS, "1 1"),
    row("cluster|shards", SLOW, ""),
    row("cluster|slaves", ADMIN | SLOW | DANGEROUS, "1"),
    row("cluster|slots", SLOW, ""),
    row("command|count", SLOW | CONNECTION, ""),
    row("command|docs", SLOW | CONNECTION, ""),
    row("command|getkeys", SLOW | CONNECTION, "1 1"),
    row("command|getkeysandflags", SLOW | CONNECTION, "1 1"),
    row("command|help", SLOW | CONNECTION, ""),
    row("command|info", SLOW | CONNECTION, ""),
    row("command|list", SLOW | CONNECTION, ""),
    row("config|get", ADMIN | SLOW | DANGEROUS, "1"),
    row("config|help", SLOW, ""),
    row("config|resetstat", ADMIN | SLOW | DANGEROUS, ""),
    row("config|rewrite", ADMIN | SLOW | DANGEROUS, ""),
    row("config|set", ADMIN | SLOW | DANGEROUS, "1 1"),
    row("copy", KEYSPACE | WRITE | SLOW, "% %"),
    row("dbsize", KEYSPACE | READ | FAST, ""),
    row("debug", ADMIN | SLOW | DANGEROUS, "1"),
    row("decr", WRITE | STRING | FAST, "%"),
    row("decrby", WRITE | STRING | FAST, "% 1"),
    row("del", KEYSPACE | WRITE | SLOW, "%"),
    row("discard", FAST | TRANSACTION, ""),
    row("dump", KEYSPACE | READ | SLOW, "%"),
    row("echo", FAST | CONNECTION, "1"),
    row("eval", SLOW | SCRIPTING, "1 1 %"),
    row("eval_ro", SLOW | SCRIPTING, "1 1 %"),
    row("evalsha", SLOW | SCRIPTING, "1 1 %"),
    row("evalsha_ro", SLOW | SCRIPTING, "1 1 %"),
    row("exec", SLOW | TRANSACTION, ""),
    row("exists", KEYSPACE | READ | FAST, "%"),
    row("expire", KEYSPACE | WRITE | FAST, "% 1"),
    row("expireat", KEYSPACE | WRITE | FAST, "% 1"),
    row("expiretime", KEYSPACE | READ | FAST, "%"),
    row("failover", ADMIN | SLOW | DANGEROUS, ""),
    row("fcall", SLOW | SCRIPTING, "1 1 %"),
    row("fcall_ro", SLOW | SCRIPTING, "1 1 %"),
    row("flushall", KEYSPACE | WRITE | SLOW | DANGEROUS, ""),
    row("flushdb", KEYSPACE | WRITE | SLOW | DANGEROUS, ""),
    row("function|delete", WRITE | SLOW | SCRIPTING, "1"),
    row("function|dump", SLOW | SCRIPTING, ""),
    row("function|flush", WRITE | SLOW | SCRIPTING, ""),
    row("function|help", SLOW | SCRIPTING, ""),
    row("function|kill", SLOW | SCRIPTING, ""),
    row("function|list", SLOW | SCRIPTING, ""),
    row("function|load", WRITE | SLOW | SCRIPTING, "1"),
    row("function|restore", WRITE | SLOW | SCRIPTING, "1"),
    row("function|stats", SLOW | SCRIPTING, ""),
    row("geoadd", WRITE | GEO | SLOW, "% 1 1 1"),
    row("geodist", READ | GEO | SLOW, "% 1 1"),
    row("geohash", READ | GEO | SLOW, "%"),
    row("geopos", READ | GEO | SLOW, "%"),
    row("georadius", WRITE | GEO | SLOW, "% 1 1 1 1"),
    row("georadius_ro", READ | GEO | SLOW, "% 1 1 1 1"),
    row("georadiusbymember", WRITE | GEO | SLOW, "% 1 1 1"),
    row("georadiusbymember_ro", READ | GEO | SLOW, "% 1 1 1"),
    row("geosearch", READ | GEO | SLOW, "% 1 1 1 1 1"),
    row("geosearchstore", WRITE | GEO | SLOW, "% % 1 1 1 1 1"),
    row("get", READ | STRING | FAST, "%"),
    row("getbit", READ | BITMAP | FAST, "% 1"),
    row("getdel", WRITE | STRING | FAST, "%"),
    row("getex", WRITE | STRING | FAST, "%"),
    row("getrange", READ | STRING | SLOW, "% 1 1"),
    row("getset", WRITE | STRING | FAST, "% 1"),
    row("hdel", WRITE | HASH | FAST, "% 1"),
    row("hexists", READ | HASH | FAST, "% 1"),
    row("hexpire", WRITE | HASH | FAST, "% 1 1 1 1"),
    row("hexpireat", WRITE | HASH | FAST, "% 1 1 1 1"),
    row("hexpiretime", READ | HASH | FAST, "% 1 1 1"),
    row("hget", READ | HASH | FAST, "% 1"),
    row("hgetall", READ | HASH | SLOW, "%"),
    row("hincrby", WRITE | HASH | FAST, "% 1 1"),
    row("hincrbyfloat", WRITE | HASH | FAST, "% 1 1"),
    row("hkeys", READ | HASH | SLOW, "%"),
    row("hlen", READ | HASH | FAST, "%"),
    row("hmget", READ | HASH | FAST, "% 1"),
    row("hmset", WRITE | HASH | FAST, "% 1 1"),
    row("hpersist", WRITE | HASH | FAST, "% 1 1 1"),
    row("hpexpire", WRITE | HASH | FAST, "% 1 1 1 1"),
    row("hpexpireat", WRITE | HASH | FAST, "% 1 1 1 1"),
    row("hpexpiretime", READ | HASH | FAST, "% 1 1 1"),
    row("hpttl", READ | HASH | FAST, "% 1 1 1"),
    row("hrandfield", READ | HASH | SLOW, "%"),
    row("hscan", READ | HASH | SLOW, "% 1"),
    row("hset", WRITE | HASH | FAST, "% 1 1"),
    row("hsetnx", WRITE | HASH | FAST, "% 1 1"),
    row("hstrlen", READ | HASH | FAST, "% 1"),
    row("httl", READ | HASH | FAST, "% 1 1 1"),
    row("hvals", READ | HASH | SLOW, "%"),
    row("incr", WRITE | STRING | FAST, "%"),
    row("incrby", WRITE | STRING | FAST, "% 1"),
    row("incrbyfloat", WRITE | STRING | FAST, "% 1"),
    row("info", SLOW | DANGEROUS, ""),
    row("keys", KEYSPACE | READ | SLOW | DANGEROUS, "1"),
    row("lastsave", ADMIN | FAST | DANGEROUS, ""),
    row("latency|doctor", ADMIN | SLOW | DANGEROUS, ""),
    row("latency|graph", ADMIN | SLOW | DANGEROUS, "1"),
    row("latency|help", SLOW, ""),
    row("latency|histogram", ADMIN | SLOW | DANGEROUS, ""),
    row("latency|history", ADMIN | SLOW | DANGEROUS, "1"),
    row("latency|latest", ADMIN | SLOW | DANGEROUS, ""),
    row("latency|reset", ADMIN | SLOW | DANGEROUS, ""),
    row("lcs", READ | STRING | SLOW, "% %"),
    row("lindex", READ | LIST | SLOW, "% 1"),
    row("linsert", WRITE | LIST | SLOW, "% 1 1 1"),
    row("llen", READ | LIST | FAST, "%"),
    row("lmove", WRITE | LIST | SLOW, "% % 1 1"),
    row("lmpop", WRITE | LIST | SLOW, "1 % LEFT"),
    row("lolwut", READ | FAST, ""),
    row("lpop", WRITE | LIST | FAST, "%"),
    row("lpos", READ | LIST | SLOW, "% 1"),
    row("lpush", WRITE | LIST | FAST, "% 1"),
    row("lpushx", WRITE | LIST | FAST, "% 1"),
    row("lrange", READ | LIST | SLOW, "% 1 1"),
    row("lrem", WRITE | LIST | SLOW, "% 1 1"),
    row("lset", WRITE | LIST | SLOW, "% 1 1"),
    row("ltrim", WRITE | LIST | SLOW, "% 1 1"),
    row("memory|doctor", SLOW, ""),
    row("memory|help", SLOW, ""),
    row("memory|malloc-stats", SLOW, ""),
    row("memory|purge", SLOW, ""),
    row("memory|stats", SLOW, ""),
    row("memory|usage", READ | SLOW, "%"),
    row("mget", READ | STRING | FAST, "%"),
    row("migrate", KEYSPACE | WRITE | SLOW | DANGEROUS, "1 1 % 1 1"),
    row("module|help", SLOW, ""),
    row("module|list", ADMIN | SLOW | DANGEROUS, ""),
    row("module|load", ADMIN | SLOW | DANGEROUS, "1"),
    row("module|loadex", ADMIN | SLOW | DANGEROUS, "1"),
    row("module|unload", ADMIN | SLOW | DANGEROUS, "1"),
    row("monitor", ADMIN | SLOW | DANGEROUS, ""),
    row("move", KEYSPACE | WRITE | FAST, "% 1"),
    row("mset", WRITE | STRING | SLOW, "% 1"),
    row("msetnx", WRITE | STRING | SLOW, "% 1"),
    row("multi", FAST | TRANSACTION, ""),
    row("object|encoding", KEYSPACE | READ | SLOW, "%"),
    row("object|freq", KEYSPACE | READ | SLOW, "%"),
    row("object|help", KEYSPACE | SLOW, ""),
    row("object|idletime", KEYSPACE | READ | SLOW, "%"),
    row("object|refcount", KEYSPACE | READ | SLOW, "%"),
    row("persist", KEYSPACE | WRITE | FAST, "%"),
    row("pexpire", KEYSPACE | WRITE | FAST, "% 1"),
    row("pexpireat", KEYSPACE | WRITE | FAST, "% 1"),
    row("pexpiretime", KEYSPACE | READ | FAST, "%"),
    row("pfadd", WRITE | HYPERLOGLOG | FAST, "%"),
    row("pfcount", READ | HYPERLOGLOG | SLOW, "%"),
    row("pfdebug", WRITE | HYPERLOGLOG | ADMIN | SLOW | DANGEROUS, "1 %"),
    row("pfmerge", WRITE | HYPERLOGLOG | SLOW, "% %"),
    row("pfselftest", HYPERLOGLOG | ADMIN | SLOW | DANGEROUS, ""),
    row("ping", FAST | CONNECTION, ""),
    row("psetex", WRITE | STRING | SLOW, "% 1 1"),
    row("psubscribe", PUBSUB | SLOW, "&"),
    row("psync", ADMIN | SLOW | DANGEROUS, "1 1"),
    row("pttl", KEYSPACE | READ | FAST, "%"),
    row("publish", PUBSUB | FAST, "& 1"),
    row("pubsub|channels", PUBSUB | SLOW, ""),
    row("pubsub|help", SLOW, ""),
    row("pubsub|numpat", PUBSUB | SLOW, ""),
    row("pubsub|numsub", PUBSUB | SLOW, ""),
    row("pubsub|shardchannels", PUBSUB | SLOW, ""),
    row("pubsub|shardnumsub", PUBSUB | SLOW, ""),
    row("punsubscribe", PUBSUB | SLOW, ""),
    row("randomkey", KEYSPACE | READ | SLOW, ""),
    row("readonly", FAST | CONNECTION, ""),
    row("readwrite", FAST | CONNECTION, ""),
    row("rename", KEYSPACE | WRITE | SLOW, "% %"),
    row("renamenx", KEYSPACE | WRITE | FAST, "% %"),
    row("replconf", ADMIN | SLOW | DANGEROUS, ""),
    row("replicaof", ADMIN | SLOW | DANGEROUS, "1 1"),
    row("restore", KEYSPACE | WRITE | SLOW | DANGEROUS, "% 1 1"),
    row("restore-asking", KEYSPACE | WRITE | SLOW | DANGEROUS, "% 1 1"),
    row("role", ADMIN | FAST | DANGEROUS, ""),
    row("rpop", WRITE | LIST | FAST, "%"),
    row("rpoplpush", WRITE | LIST | SLOW, "% %"),
    row("rpush", WRITE | LIST | FAST, "% 1"),
    row("rpushx", WRITE | LIST | FAST, "% 1"),
    row("sadd", WRITE | SET | FAST, "% 1"),
    row("save", ADMIN | SLOW | DANGEROUS, ""),
    row("scan", KEYSPACE | READ | SLOW, "1"),
    row("scard", READ | SET | FAST, "%"),
    row("script|debug", SLOW | SCRIPTING, "1"),
    row("script|exists", SLOW | SCRIPTING, "1"),
    row("script|flush", SLOW | SCRIPTING, ""),
    row("script|help", SLOW | SCRIPTING, ""),
    row("script|kill", SLOW | SCRIPTING, ""),
    row("script|load", SLOW | SCRIPTING, "1"),
    row("sdiff", READ | SET | SLOW, "%"),
    row("sdiffstore", WRITE | SET | SLOW, "% %"),
    row("select", FAST | CONNECTION, "1"),
    row("set", WRITE | STRING | SLOW, "% 1"),
    row("setbit", WRITE | BITMAP | SLOW, "% 1 1"),
    row("setex", WRITE | STRING | SLOW, "% 1 1"),
    row("setnx", WRITE | STRING | FAST, "% 1"),
    row("setrange", WRITE | STRING | SLOW, "% 1 1"),
    row("shutdown", ADMIN | SLOW | DANGEROUS, ""),
    row("sinter", READ | SET | SLOW, "%"),
    row("sintercard", READ | SET | SLOW, "1 %"),
    row("sinterstore", WRITE | SET | SLOW, "% %"),
    row("sismember", READ | SET | FAST, "% 1"),
    row("slaveof", ADMIN | SLOW | DANGEROUS, "1 1"),
    row("slowlog|get", ADMIN | SLOW | DANGEROUS, ""),
    row("slowlog|help", SLOW, ""),
    row("slowlog|len", ADMIN | SLOW | DANGEROUS, ""),
    row("slowlog|reset", ADMIN | SLOW | DANGEROUS, ""),
    row("smembers", READ | SET | SLOW, "%"),
    row("smismember", READ | SET | FAST, "% 1"),
    row("smove", WRITE | SET | FAST, "% % 1"),
    row("sort", WRITE | SET | SORTEDSET | LIST | SLOW | DANGEROUS, "%"),
    row("sort_ro", READ | SET | SORTEDSET | LIST | SLOW | DANGEROUS, "%"),
    row("spop", WRITE | SET | FAST, "%"),
    row("spublish", PUBSUB | FAST, "& 1"),
    row("srandmember", READ | SET | SLOW, "%"),
    row("srem", WRITE | SET | FAST, "% 1"),
    row("sscan", READ | SET | SLOW, "% 1"),
    row("ssubscribe", PUBSUB | SLOW, "&"),
    row("strlen", READ | STRING | FAST, "%"),
    row("subscribe", PUBSUB | SLOW, "&"),
    row("substr", READ | STRING | SLOW, "% 1 1"),
    row("sunion", READ | SET | SLOW, "%"),
    row("sunionstore", WRITE | SET | SLOW, "% %"),
    row("sunsubscribe", PUBSUB | SLOW, ""),
    row("swapdb", KEYSPACE | WRITE | FAST | DANGEROUS, "1 1"),
    row("sync", ADMIN | SLOW | DANGEROUS, ""),
    row("time", FAST, ""),
    row("touch", KEYSPACE | READ | FAST, "%"),
    row("ttl", KEYSPACE | READ | FAST, "%"),
    row("type", KEYSPACE | READ | FAST, "%"),
    row("unlink", KEYSPACE | WRITE | FAST, "%"),
    row("unsubscribe", PUBSUB | SLOW, ""),
    row("unwatch", FAST | TRANSACTION, ""),
    row("wait", SLOW | CONNECTION, "1 1"),
    row("waitaof", SLOW | CONNECTION, "1 1 1"),
    row("watch", FAST | TRANSACTION, "%"),
    row("xack", WRITE | STREAM | FAST, "% 1 1"),
    row("xadd", WRITE | STREAM | FAST, "% 1 1 1"),
    row("xautoclaim", WRITE | STREAM | FAST, "% 1 1 1 1"),
    row("xclaim", WRITE | STREAM | FAST, "% 1 1 1 1"),
    row("xdel", WRITE | STREAM | FAST, "% 1"),
    row("xgroup|create", WRITE | STREAM | SLOW, "% 1 1"),
    row("xgroup|createconsumer", WRITE | STREAM | SLOW, "% 1 1"),
    row("xgroup|delconsumer", WRITE | STREAM | SLOW, "% 1 1"),
    row("xgroup|destroy", WRITE | STREAM | SLOW, "% 1"),
    row("xgroup|help", STREAM | SLOW, ""),
    row("xgroup|setid", WRITE | STREAM | SLOW, "% 1 1"),
    row("xinfo|consumers", READ | STREAM | SLOW, "% 1"),
    row("xinfo|groups", READ | STREAM | SLOW, "%"),
    row("xinfo|help", STREAM | SLOW, ""),
    row("xinfo|stream", READ | STREAM | SLOW, "%"),
    row("xlen", READ | STREAM | FAST, "%"),
    row("xpending", READ | STREAM | SLOW, "% 1"),
    row("xrange", READ | STREAM | SLOW, "% 1 1"),
    row("xread", READ | STREAM | SLOW | BLOCKING, "STREAMS % 0"),
    row("xreadgroup", WRITE | STREAM | SLOW | BLOCKING, "GROUP 1 1 STREAMS % 0"),
    row("xrevrange", READ | STREAM | SLOW, "% 1 1"),
    row("xsetid", WRITE | STREAM | FAST, "% 1"),
    row("xtrim", WRITE | STREAM | SLOW, "% 1 1"),
    row("zadd", WRITE | SORTEDSET | FAST, "% 1 1"),
    row("zcard", READ | SORTEDSET | FAST, "%"),
    row("zcount", READ | SORTEDSET | FAST, "% 1 1"),
    row("zdiff", READ | SORTEDSET | SLOW, "1 %"),
    row("zdiffstore", WRITE | SORTEDSET | SLOW, "% 1 %"),
    row("zincrby", WRITE | SORTEDSET | FAST, "% 1 1"),
    row("zinter", READ | SORTEDSET | SLOW, "1 %"),
    row("zintercard", READ | SORTEDSET | SLOW, "1 %"),
    row("zinterstore", WRITE | SORTEDSET | SLOW, "% 1 %"),
    row("zlexcount", READ | SORTEDSET | FAST, "% 1 1"),
    row("zmpop", WRITE | SORTEDSET | SLOW, "1 % MIN"),
    row("zmscore", READ | SORTEDSET | FAST, "% 1"),
    row("zpopmax", WRITE | SORTEDSET | FAST, "%"),
    row("zpopmin", WRITE | SORTEDSET | FAST, "%"),
    row("zrandmember", READ | SORTEDSET | SLOW, "%"),
    row("zrange", READ | SORTEDSET | SLOW, "% 1 1"),
    row("zrangebylex", READ | SORTEDSET | SLOW, "% 1 1"),
    row("zrangebyscore", READ | SORTEDSET | SLOW, "% 1 1"),
    row("zrangestore", WRITE | SORTEDSET | SLOW, "% % 1 1"),
    row("zrank", READ | SORTEDSET | FAST, "% 1"),
    row("zrem", WRITE | SORTEDSET | FAST, "% 1"),
    row("zremrangebylex", WRITE | SORTEDSET | SLOW, "% 1 1"),
    row("zremrangebyrank", WRITE | SORTEDSET | SLOW, "% 1 1"),
    row("zremrangebyscore", WRITE | SORTEDSET | SLOW, "% 1 1"),
    row("zrevrange", READ | SORTEDSET | SLOW, "% 1 1"),
    row("zrevrangebylex", READ | SORTEDSET | SLOW, "% 1 1"),
    row("zrevrangebyscore", READ | SORTEDSET | SLOW, "% 1 1"),
    row("zrevrank", READ | SORTEDSET | FAST, "% 1"),
    row("zscan", READ | SORTEDSET | SLOW, "% 1"),
    row("zscore", READ | SORTEDSET | FAST, "% 1"),
    row("zunion", READ | SORTEDSET | SLOW, "1 %"),
    row("zunionstore", WRITE | SORTEDSET | SLOW, "% 1 %"),
];
