use super::*;

#[tokio::test]
async fn what_an_earlier_life_left_is_ended_and_removed() {
    let parent = tempfile::tempdir().unwrap();
    let left = WorkDirectory::create(parent.path(), "bld_1-1", None).unwrap();
    std::fs::write(left.path().join("file"), "").unwrap();
    let mut process = tokio::process::Command::new("sleep")
        .arg("600")
        .current_dir(left.path())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    clear(parent.path()).unwrap();
    assert!(!process.wait().await.unwrap().success());
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    clear(&parent.path().join("never made")).unwrap();
}

#[tokio::test]
async fn a_directory_is_new_however_its_name_was_used_before() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("bld_1-1");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("old"), "").unwrap();
    let directory = WorkDirectory::create(parent.path(), "bld_1-1", None).unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    directory.remove().await;
    assert!(!path.exists());
    drop(WorkDirectory::create(parent.path(), "bld_1-1", None).unwrap());
    assert!(!path.exists());
}
