//! `dayfly clean` on EC2's bucket: what killed agents and people left is removed, with the rights of who runs jobs.

use crate::ground::on_ground;
use crate::ledger::Page;

#[test]
fn uploads_and_checks_that_were_cut_off_are_removed() {
    on_ground(async |ground| {
        ground.court.shows(Page::Cleaned);
        assert_eq!(ground.aws.s3("POST", "/test-bucket/job/out0.dat?uploads", "").status, 200);
        ground.job.put("scratch/7/put", "a check that did not end").await;
        let uploads = || ground.aws.s3("GET", "/test-bucket?uploads&prefix=job/", "").fields("UploadId").len();
        assert_eq!(uploads(), 1);
        ground.dayfly("clean", "--older-than 0s --yes").await.expect(0, &["out0.dat", "scratch/7/put"]);
        assert_eq!((uploads(), ground.job.get("scratch/7/put").await), (0, None));
        ground.dayfly("clean", "").await.expect(0, &["nothing to remove"]);
    });
}
