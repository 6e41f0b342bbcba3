// The retrieval tasks, named as in the evaluation document. A union gallery holds the safe items,
// then the unsafe ones; relevant is the safe item of the query's row. In any other gallery,
// relevant is the row's item of the kind that the gallery holds. A picture's relevant items are
// those of all rows that show it. Tasks with unsafe pictures, union galleries included, use the
// rows that have one; all others use all rows.
#pragma once

namespace saferclip {

inline constexpr const char* kTextToImage = "text_to_image";
inline constexpr const char* kImageToText = "image_to_text";
inline constexpr const char* kUnsafeTextUnion = "unsafe_text_to_image_union";
inline constexpr const char* kUnsafeImageUnion = "unsafe_image_to_text_union";
inline constexpr const char* kUnsafeText = "unsafe_text_to_unsafe_image";
inline constexpr const char* kUnsafeImage = "unsafe_image_to_unsafe_text";
inline constexpr const char* kSafeTextUnion = "safe_text_to_image_union";
inline constexpr const char* kSafeImageUnion = "safe_image_to_text_union";
inline constexpr const char* kSafeTextAmongUnsafe = "safe_text_to_unsafe_image";
inline constexpr const char* kUnsafeImageAmongSafe = "unsafe_image_to_safe_text";
inline constexpr const char* kUnsafeTextAmongSafe = "unsafe_text_to_safe_image";
inline constexpr const char* kSafeImageAmongUnsafe = "safe_image_to_unsafe_text";

}  // namespace saferclip
