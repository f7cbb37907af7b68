//! Copies within the endpoint, from one bucket or key to another.

use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::answer::{etag, outcome, timestamp};
use super::conditions::{self, ReadConditions};
use super::objects;
use super::service::Front;

impl Front {
    /// Puts what another object holds. It goes through memory, as a put does.
    pub(super) async fn copy(&self, req: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let store = self.bucket(&req.input.bucket, req.region.as_ref()).await?;
        let condition = conditions::of_headers(&req.headers)?;
        let input = req.input;
        let (from_bucket, from_key) = objects::source_of(&input.copy_source)?;
        let replace = match input.metadata_directive.as_ref().map(MetadataDirective::as_str) {
            None | Some(MetadataDirective::COPY) => false,
            Some(MetadataDirective::REPLACE) => true,
            Some(_) => return Err(s3_error!(InvalidArgument, "Unknown metadata directive")),
        };
        if !replace && from_bucket == input.bucket && from_key == input.key {
            return Err(s3_error!(
                InvalidRequest,
                "An object cannot be copied to itself without changing its metadata"
            ));
        }
        let from = self.bucket(from_bucket, None).await?;
        let source_conditions = ReadConditions {
            if_match: input.copy_source_if_match,
            if_none_match: input.copy_source_if_none_match,
            if_modified_since: input.copy_source_if_modified_since,
            if_unmodified_since: input.copy_source_if_unmodified_since,
        };
        let (meta, body) = objects::source(from.as_ref(), from_key, source_conditions, None, self.body_limit).await?;
        let attributes = objects::copied_attributes(&meta, replace, input.metadata, input.content_type);
        let condition = self.strictness.apply(condition);
        let tag = outcome(store.put(&input.key, body, &attributes, &condition).await)?;
        let result = CopyObjectResult {
            e_tag: Some(etag(&tag)),
            last_modified: Some(timestamp(self.clock.now().wall)),
            ..CopyObjectResult::default()
        };
        Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() }))
    }
}
