#include "model/safetensors/safetensors.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/file.h"
#include "base/test_support.h"

namespace model {
namespace {

using base::test::TempDir;
using testing::HasSubstr;

std::span<const std::byte> bytes_of(const std::vector<float>& values) {
  return std::as_bytes(std::span(values));
}

/// A file with `header` in front of `data_bytes` zeros.
std::string file_text(std::string header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string text(reinterpret_cast<const char*>(&length), sizeof length);
  return text + header + std::string(data_bytes, '\0');
}

std::string mistake_in(const std::string& header, std::size_t data_bytes = 16) {
  const std::string text = file_text(header, data_bytes);
  const auto parsed = parse_safetensors_header(text, text.size());
  return parsed ? "none" : parsed.error().message();
}

TEST(Safetensors, ReadsBackWhatItWrote) {
  const TempDir dir;
  const std::vector<float> a{1, 2, 3, 4, 5, 6};
  const std::vector<float> b{-1.5F};
  const std::vector<TensorView> tensors{
      {{"layer.weight", DataType::F32, {2, 3}}, bytes_of(a)},
      {{"scalar", DataType::F32, {}}, bytes_of(b)},
      {{"none", DataType::BF16, {0, 7}}, {}},
  };
  const auto path = dir.path() / "x.safetensors";
  ASSERT_TRUE(write_safetensors(path, tensors, {{"format", "pt"}}));
  const auto file = Safetensors::open(dir.path());
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(file->metadata().at("format"), "pt");
  ASSERT_EQ(file->tensors().size(), 3U);
  const TensorView* layer = file->find("layer.weight");
  ASSERT_NE(layer, nullptr);
  EXPECT_EQ(layer->info.description(), "F32 [2, 3]");
  EXPECT_EQ(layer->floats().value(), a);
  EXPECT_EQ(file->find("scalar")->floats().value(), b);
  EXPECT_TRUE(file->find("none")->floats().value().empty());
  EXPECT_EQ(file->find("other"), nullptr);
  EXPECT_THAT(file->get("other").error().message(), HasSubstr("no tensor other"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(Safetensors, ReadsShardsByTheirIndex) {
  const TempDir dir;
  const std::vector<float> one{1};
  const std::vector<float> two{2};
  const std::vector<TensorView> first{{{"a", DataType::F32, {1}}, bytes_of(one)}};
  const std::vector<TensorView> second{{{"b", DataType::F32, {1}}, bytes_of(two)}};
  ASSERT_TRUE(write_safetensors(dir.path() / "m-1.safetensors", first));
  ASSERT_TRUE(write_safetensors(dir.path() / "m-2.safetensors", second));
  const auto index = dir.path() / "model.safetensors.index.json";
  const auto set_index = [&](std::string_view map) {
    ASSERT_TRUE(base::write_file_atomic(index, fmt::format(R"({{"weight_map":{}}})", map), 0644));
  };
  set_index(R"({"a":"m-1.safetensors","b":"m-2.safetensors"})");
  const auto set = Safetensors::open(dir.path());
  ASSERT_TRUE(set) << set.error().message();
  EXPECT_EQ(set->find("b")->floats().value(), two);

  set_index(R"({"a":"m-1.safetensors","c":"m-2.safetensors"})");
  EXPECT_THAT(Safetensors::open(dir.path()).error().message(), HasSubstr("should hold tensor c"));
  set_index(R"({"a":"../m-1.safetensors"})");
  EXPECT_THAT(Safetensors::open(dir.path()).error().message(), HasSubstr("should be a file name"));
}

TEST(Safetensors, NamesWhatIsWrongWithAHeader) {
  EXPECT_EQ(mistake_in(R"({"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}   )"), "none");
  EXPECT_THAT(mistake_in("[]"), HasSubstr("should be an object"));
  EXPECT_THAT(mistake_in(R"({"a":{"dtype":"F31","shape":[4],"data_offsets":[0,16]}})"),
              HasSubstr("tensor a: unknown dtype F31"));
  EXPECT_THAT(mistake_in(R"({"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}})"),
              HasSubstr("whole numbers"));
  EXPECT_THAT(mistake_in(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}})"),
              HasSubstr("rising"));
  EXPECT_THAT(mistake_in(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,16]}})"),
              HasSubstr("F32 [3] needs 12 bytes, data_offsets give 16"));
  EXPECT_THAT(
      mistake_in(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}})"),
      HasSubstr("too large"));
  EXPECT_THAT(mistake_in(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                         R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})"),
              HasSubstr("tensor b: begins at byte 4"));
  EXPECT_THAT(mistake_in(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", 12),
              HasSubstr("truncated"));
  EXPECT_THAT(mistake_in(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", 20),
              HasSubstr("4 bytes after its last tensor"));
  EXPECT_THAT(mistake_in(R"({"__metadata__":{"a":1}})", 0), HasSubstr("object of strings"));
  EXPECT_THAT(parse_safetensors_header("short", 5).error().message(), HasSubstr("8 bytes"));
  EXPECT_THAT(parse_safetensors_header("GGUFGGUFGGUF", 12).error().message(),
              HasSubstr("promises a header"));
}

TEST(SafetensorsWriter, LeavesNothingBehindWhenBytesAreMissing) {
  const TempDir dir;
  const auto path = dir.path() / "x.safetensors";
  {
    auto writer = SafetensorsWriter::create(path, {{"a", DataType::F32, {2}}});
    ASSERT_TRUE(writer) << writer.error().message();
    const std::vector<float> half{1};
    ASSERT_TRUE(writer->write(bytes_of(half)));
    EXPECT_THAT(writer->finish().error().message(), HasSubstr("4 bytes are missing"));
    const std::vector<float> more{1, 2};
    EXPECT_THAT(writer->write(bytes_of(more)).error().message(), HasSubstr("more bytes"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
  EXPECT_THAT(SafetensorsWriter::create(path, {{"a"}, {"a"}}).error().message(),
              HasSubstr("twice"));
}

TEST(DataType, ConvertsEveryHalfThereAndBack) {
  for (std::uint32_t i = 0; i <= 0xffff; ++i) {
    const auto half = static_cast<std::uint16_t>(i);
    const float value = float_from_half(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(float_from_half(half_from_float(value))));
    } else {
      ASSERT_EQ(half_from_float(value), half) << i;
    }
    const float wide = float_from_bfloat16(half);
    if (!std::isnan(wide)) {
      ASSERT_EQ(bfloat16_from_float(wide), half) << i;
    }
  }
  EXPECT_EQ(float_from_half(0x3c01), 1.0F + 0x1p-10F);
  EXPECT_EQ(float_from_half(0x0001), 0x1p-24F);
  EXPECT_EQ(float_from_half(0xfbff), -65504.0F);
}

TEST(DataType, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(half_from_float(1.0F + 0x1p-11F), 0x3c00);
  EXPECT_EQ(half_from_float(1.0F + 3 * 0x1p-11F), 0x3c02);
  EXPECT_EQ(half_from_float(65519.0F), 0x7bff);
  EXPECT_EQ(half_from_float(65520.0F), 0x7c00);
  EXPECT_EQ(half_from_float(1e10F), 0x7c00);
  EXPECT_EQ(half_from_float(0x1p-25F), 0x0000);
  EXPECT_EQ(half_from_float(-0x1.8p-25F), 0x8001);
  EXPECT_EQ(bfloat16_from_float(1.0F + 0x1p-8F), 0x3f80);
  EXPECT_EQ(bfloat16_from_float(1.0F + 3 * 0x1p-8F), 0x3f82);
  EXPECT_EQ(bfloat16_from_float(std::numeric_limits<float>::infinity()), 0x7f80);
  EXPECT_TRUE(std::isnan(float_from_bfloat16(bfloat16_from_float(std::nanf("")))));
}

TEST(DataType, RefusesWhatItCannotConvert) {
  std::vector<float> out(1);
  const std::byte byte{};
  EXPECT_THAT(to_floats(DataType::I8, {&byte, 1}, out).error().message(), HasSubstr("I8"));
  std::vector<std::byte> wide(8);
  EXPECT_THAT(from_floats(DataType::F64, out, wide).error().message(), HasSubstr("F64"));
}

}  // namespace
}  // namespace model
