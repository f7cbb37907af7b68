//! The directory as a person sees it: objects are files, files are objects, and nothing outside is touched.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dayfly_shared::clock::SystemClock;
use dayfly_shared::store::{
    Attributes, Condition, ETag, ListQuery, LocalStore, Outcome, Rejection, Store, StoreErrorKind, StoreExt,
};
use futures::StreamExt;
use md5::{Digest, Md5};

struct Bucket {
    dir: tempfile::TempDir,
    store: LocalStore,
}

impl Bucket {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        Self { dir, store }
    }

    fn file(&self, path: &str) -> std::path::PathBuf {
        self.dir.path().join(path)
    }

    async fn put(&self, key: &str, body: &str, condition: Condition) -> Outcome<ETag> {
        let attributes = Attributes::default().with("by", "api");
        self.store.put(key, Bytes::copy_from_slice(body.as_bytes()), &attributes, &condition).await.unwrap()
    }

    async fn created(&self, key: &str, body: &str) -> ETag {
        match self.put(key, body, Condition::Create).await {
            Outcome::Applied(etag) => etag,
            other => panic!("{key}: {other:?}"),
        }
    }

    async fn text(&self, key: &str) -> Option<String> {
        let (_, body) = self.store.read(key).await.unwrap()?;
        Some(String::from_utf8(body.to_vec()).unwrap())
    }

    async fn etag(&self, key: &str) -> Option<ETag> {
        self.store.head(key).await.unwrap().map(|meta| meta.etag)
    }

    async fn keys(&self) -> Vec<String> {
        self.store.list_all("").await.unwrap().into_iter().map(|entry| entry.key).collect()
    }
}

fn open(dir: &Path) -> LocalStore {
    LocalStore::open(dir, "files", Arc::new(SystemClock)).unwrap()
}

fn md5(text: &str) -> ETag {
    ETag::new(&Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[tokio::test]
async fn objects_are_plain_files() {
    let b = Bucket::new();
    for (key, path) in [
        ("in3.dat", "in3.dat"),
        ("out/a b/50%.dat", "out/a b/50%.dat"),
        ("a//b", "a/%e/b"),
        ("../up", "%2E./up"),
        (".dayfly/locks/00", "%2Edayfly/locks/00"),
        ("\u{65e5}\n", "\u{65e5}%0A"),
        ("nul\0", "nul%00"),
    ] {
        b.created(key, key).await;
        assert_eq!(fs::read_to_string(b.file(path)).unwrap(), key);
        assert_eq!(b.text(key).await.as_deref(), Some(key));
    }
    assert_eq!(b.keys().await.len(), 7);
    // An object under the first component `.dayfly` is not the store's own file.
    assert_eq!(fs::read(b.file(".dayfly/locks/00")).map(|lock| lock.len()).unwrap_or(0), 0);
    assert_eq!(b.store.delete("a//b", None).await.unwrap(), Outcome::Applied(()));
    assert!(!b.file("a/%e/b").exists());
}

#[tokio::test]
async fn files_put_by_hand_are_objects() {
    let b = Bucket::new();
    fs::create_dir_all(b.file("sub/deep")).unwrap();
    let names =
        ["in1.dat", "50% off.dat", "a%20b", "%", "sub/deep/\u{fc}.dat", "sub/.hidden", " ", "x".repeat(255).leak()];
    for name in names {
        fs::write(b.file(name), format!("by hand: {name}")).unwrap();
    }
    let mut expected = names.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(b.keys().await, expected);
    for entry in b.store.list_all("").await.unwrap() {
        let content = format!("by hand: {}", entry.key);
        let (meta, body) = b.store.read(&entry.key).await.unwrap().unwrap();
        assert_eq!(body, content);
        assert_eq!((&meta.etag, meta.size), (&md5(&content), content.len() as u64));
        assert_eq!((entry.etag, entry.size, entry.modified), (meta.etag.clone(), meta.size, meta.modified));
        assert!(meta.metadata.is_empty());
        assert_eq!(b.put(&entry.key, "x", Condition::Create).await, Outcome::Rejected(Rejection::Precondition));
        let update = b.put(&entry.key, "by api", Condition::Update(meta.etag)).await;
        assert!(matches!(update, Outcome::Applied(_)), "{}: {update:?}", entry.key);
        // In the same file: there is no second one beside it.
        assert_eq!(fs::read_to_string(b.file(&entry.key)).unwrap(), "by api");
    }
    assert_eq!(b.keys().await.len(), names.len());
}

#[tokio::test]
async fn an_edited_file_is_another_version() {
    let b = Bucket::new();
    let first = b.created("tasklist.txt", "in1.dat\n").await;
    // Each edit as another kind of editor makes it: in place with the same length, appended, replaced by rename.
    fs::write(b.file("tasklist.txt"), "in2.dat\n").unwrap();
    let second = b.etag("tasklist.txt").await.unwrap();
    assert_eq!(second, md5("in2.dat\n"));
    assert_eq!(b.put("tasklist.txt", "", Condition::Update(first)).await, Outcome::Rejected(Rejection::Precondition));
    assert_eq!(b.text("tasklist.txt").await.as_deref(), Some("in2.dat\n"));
    fs::write(b.file("new"), "in3.dat\n").unwrap();
    fs::rename(b.file("new"), b.file("tasklist.txt")).unwrap();
    assert_eq!(b.put("tasklist.txt", "", Condition::Update(second)).await, Outcome::Rejected(Rejection::Precondition));
    let third = b.etag("tasklist.txt").await.unwrap();
    assert_eq!(third, md5("in3.dat\n"));
    // The metadata of the API's version is not the hand-made one's; a write by the API has its own again.
    let meta = b.store.head("tasklist.txt").await.unwrap().unwrap();
    assert!(meta.metadata.is_empty());
    assert!(matches!(b.put("tasklist.txt", "view", Condition::Update(third)).await, Outcome::Applied(_)));
    let meta = b.store.head("tasklist.txt").await.unwrap().unwrap();
    assert_eq!(meta.metadata.get("by").map(String::as_str), Some("api"));
    fs::remove_file(b.file("tasklist.txt")).unwrap();
    assert_eq!(b.etag("tasklist.txt").await, None);
    b.created("tasklist.txt", "anew").await;
}

/// The hash of a settled file is kept: the next reader does not read the file again. The sidecar is the proof.
#[tokio::test]
async fn hashes_of_settled_files_are_kept() {
    let b = Bucket::new();
    let sidecars = || fs::read_dir(b.file(".dayfly/meta")).map(|dirs| dirs.count()).unwrap_or(0);
    fs::write(b.file("fresh"), "x").unwrap();
    assert_eq!(b.etag("fresh").await, Some(md5("x")));
    assert_eq!(sidecars(), 0, "a file that may yet change within its time's tick is hashed each time");
    let touched = std::process::Command::new("touch").args(["-d", "1 hour ago"]).arg(b.file("fresh")).status();
    assert!(touched.unwrap().success());
    assert_eq!(b.etag("fresh").await, Some(md5("x")));
    assert_eq!(sidecars(), 1);
    assert_eq!(b.etag("fresh").await, Some(md5("x")));
}

#[tokio::test]
async fn metadata_lasts_and_a_broken_sidecar_costs_only_itself() {
    let b = Bucket::new();
    b.created("k", "body").await;
    let reopened = open(b.dir.path());
    assert_eq!(reopened.head("k").await.unwrap().unwrap().metadata["by"], "api");
    let shard = fs::read_dir(b.file(".dayfly/meta")).unwrap().next().unwrap().unwrap().path();
    let sidecar = fs::read_dir(shard).unwrap().next().unwrap().unwrap().path();
    fs::write(&sidecar, "").unwrap();
    let (meta, body) = b.store.read("k").await.unwrap().unwrap();
    assert_eq!((&body[..], meta.etag, meta.metadata.len()), (&b"body"[..], md5("body"), 0));
    // A sidecar with the right identity but another key's name is not believed: a copied private folder, say.
    b.put("k", "body", Condition::Overwrite).await;
    let text = fs::read_to_string(&sidecar).unwrap().replacen("\"key\":\"k\"", "\"key\":\"other\"", 1);
    fs::write(&sidecar, text).unwrap();
    assert_eq!(b.store.head("k").await.unwrap().unwrap().metadata.len(), 0);
}

#[tokio::test]
async fn objects_and_folders_share_names() {
    let b = Bucket::new();
    // By hand a folder, by the API an object; and the other way round.
    fs::create_dir(b.file("d")).unwrap();
    fs::write(b.file("d/in"), "1").unwrap();
    b.created("d", "object").await;
    fs::write(b.file("f"), "2").unwrap();
    b.created("f/in", "below").await;
    b.created("f/in/deeper", "below").await;
    assert_eq!(b.keys().await, ["d", "d/in", "f", "f/in", "f/in/deeper"]);
    assert_eq!(fs::read_to_string(b.file("d%f")).unwrap(), "object");
    assert_eq!(fs::read_to_string(b.file("f%d/in")).unwrap(), "below");
    // Once the name is free, a person may take it; what the API put stays what it was.
    fs::remove_file(b.file("f")).unwrap();
    fs::create_dir(b.file("f")).unwrap();
    fs::write(b.file("f/by hand"), "3").unwrap();
    fs::write(b.file("f/in"), "over").unwrap();
    assert_eq!(b.keys().await, ["d", "d/in", "f/by hand", "f/in", "f/in/deeper"]);
    assert_eq!(b.text("f/in").await.as_deref(), Some("over"), "the plain name goes first");
    let listed = b.store.list_all("f/in").await.unwrap();
    assert_eq!(listed[0].etag, md5("over"));
    // Deleting takes both files of the key: the hidden one must not come to light.
    assert_eq!(b.store.delete("f/in", Some(&md5("over"))).await.unwrap(), Outcome::Applied(()));
    assert_eq!(b.keys().await, ["d", "d/in", "f/by hand", "f/in/deeper"]);
    // Names that look like the store's own are names like others.
    for key in ["d%f", "f%d/x", "f%d", "%e", "%2E", "%2E./x", "a%0A", "%25"] {
        b.created(key, key).await;
        assert_eq!(b.text(key).await.as_deref(), Some(key));
    }
    assert_eq!(b.text("d").await.as_deref(), Some("object"));
}

#[tokio::test]
async fn links_are_not_followed() {
    let b = Bucket::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    fs::write(b.file("inside"), "inside").unwrap();
    symlink(outside.path(), b.file("folder")).unwrap();
    symlink(outside.path().join("secret"), b.file("file")).unwrap();
    symlink(b.file("inside"), b.file("alias")).unwrap();
    symlink("/nonexistent", b.file("dangling")).unwrap();
    assert_eq!(b.keys().await, ["inside"]);
    for key in ["folder/secret", "file", "alias", "dangling"] {
        assert_eq!(b.text(key).await, None, "{key}");
        assert_eq!(b.store.delete(key, None).await.unwrap(), Outcome::Rejected(Rejection::Missing), "{key}");
        b.created(key, "new").await;
        assert_eq!(b.text(key).await.as_deref(), Some("new"), "{key}");
    }
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(b.text("inside").await.as_deref(), Some("inside"));
    // Nor does an upload's id lead anywhere.
    let upload = b.store.upload_begin("k", &Attributes::default()).await.unwrap();
    for id in ["../../folder", "..", ".", "", "/etc", "x/../../.."] {
        let forged = dayfly_shared::store::Upload { id: id.to_owned(), ..upload.clone() };
        let end = b.store.upload_complete(&forged, &[], &Condition::Create).await.unwrap();
        assert_eq!(end, Outcome::Rejected(Rejection::NoSuchUpload), "{id:?}");
        b.store.upload_abort(&forged).await.unwrap();
    }
    assert_eq!(b.store.uploads("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_object_is_passed_by() {
    use std::os::unix::ffi::OsStrExt;
    let b = Bucket::new();
    let made = std::process::Command::new("mkfifo").arg(b.file("fifo")).status();
    assert!(made.unwrap().success());
    fs::write(b.dir.path().join(std::ffi::OsStr::from_bytes(b"latin-\xfc")), "x").unwrap();
    fs::write(b.file("x%d"), "not written so by the store").unwrap();
    fs::create_dir(b.file("empty")).unwrap();
    b.created("k", "x").await;
    assert_eq!(b.keys().await, ["k"]);
    let folded = ListQuery { fold: true, ..ListQuery::under("") };
    assert_eq!(b.store.list(&folded).await.unwrap().folders, Vec::<String>::new());
    // A FIFO without a writer would stop who opens it.
    assert_eq!(b.text("fifo").await, None);
}

/// A reader keeps the version that it opened, whatever happens to the object meanwhile.
#[tokio::test]
async fn a_reader_keeps_its_version() {
    let b = Bucket::new();
    let large = "0123456789abcdef".repeat(200_000);
    b.created("k", &large).await;
    let mut object = b.store.get("k", None).await.unwrap().unwrap();
    let mut seen = object.body.next().await.unwrap().unwrap().to_vec();
    assert!(seen.len() < large.len(), "the body has to come in pieces");
    b.put("k", "short", Condition::Overwrite).await;
    b.store.delete("k", None).await.unwrap();
    while let Some(piece) = object.body.next().await {
        seen.extend_from_slice(&piece.unwrap());
    }
    assert!(seen == large.as_bytes());
    // But a file that a person cuts short in place is told as such.
    b.created("cut", &large).await;
    let mut object = b.store.get("cut", None).await.unwrap().unwrap();
    object.body.next().await.unwrap().unwrap();
    fs::File::options().write(true).open(b.file("cut")).unwrap().set_len(1_000_000).unwrap();
    let end = loop {
        match object.body.next().await {
            Some(Ok(_)) => {}
            other => break other,
        }
    };
    assert_eq!(end.unwrap().unwrap_err().kind, StoreErrorKind::Corrupt);
    assert!(object.body.next().await.is_none());
}

#[tokio::test]
async fn a_bucket_has_to_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing/below");
    let clock = Arc::new(SystemClock);
    let error = LocalStore::open(&missing, "b", clock.clone()).err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::NoSuchBucket);
    assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");
    let store = LocalStore::create(&missing, "b", clock).unwrap();
    fs::remove_dir(&missing).unwrap();
    let put = store.put("k", Bytes::new(), &Attributes::default(), &Condition::Overwrite).await;
    assert_eq!(put.unwrap_err().kind, StoreErrorKind::NoSuchBucket);
    assert_eq!(store.upload_begin("k", &Attributes::default()).await.unwrap_err().kind, StoreErrorKind::NoSuchBucket);
    assert!(!missing.exists(), "a write must not make the bucket anew");
}

/// A completion that died after its object was in place: the upload is still there, and so is the object.
#[tokio::test]
async fn a_half_removed_upload_completes_again() {
    let b = Bucket::new();
    let upload = b.store.upload_begin("k", &Attributes::default()).await.unwrap();
    let part = b.store.upload_part(&upload, 1, Bytes::from_static(b"part")).await.unwrap();
    let uploads = b.file(".dayfly/uploads");
    let kept = b.file("kept");
    let copied = std::process::Command::new("cp").args(["-al"]).arg(uploads.join(&upload.id)).arg(&kept).status();
    assert!(copied.unwrap().success());
    let parts = [part];
    let first = b.store.upload_complete(&upload, &parts, &Condition::Create).await.unwrap();
    assert!(matches!(first, Outcome::Applied(_)));
    fs::rename(&kept, uploads.join(&upload.id)).unwrap();
    let again = b.store.upload_complete(&upload, &parts, &Condition::Create).await.unwrap();
    assert_eq!(again, Outcome::Rejected(Rejection::Precondition));
    let over = b.store.upload_complete(&upload, &parts, &Condition::Overwrite).await.unwrap();
    assert_eq!(over, first);
    assert_eq!(b.text("k").await.as_deref(), Some("part"));
}
