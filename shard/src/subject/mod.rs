//! Subjects: validity, wildcards, transforms.
