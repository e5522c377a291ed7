# Writes a log of format 1 as a Ruby program did, with Ruby's own Marshal and Zlib: section 6 of docs/formats/log-1.md.
#
# Refuses to be given records: it makes them by a seed, and lists what a reader has to find: id, type, bytes in hex.
#
#     ruby log1_ruby.rb DIR typed|untyped COMPRESS SEED COUNT

require "fileutils"
require "zlib"

PER_FILE, FILES_PER_DIR, MAX_SIZE, BLOCK = 7, 3, 4096, 64
ENCODINGS = [Encoding::BINARY, Encoding::UTF_8, Encoding::US_ASCII, Encoding::Shift_JIS, Encoding::UTF_16LE]
LENGTHS = [0, 1, 5, 117, 122, 123, 255, 256, 3000, 70_000]
OBJECTS = [nil, 7, :symbol, 1.5, ["a", { "b" => [1, 2] }], { list: [true, false] }]

dir, form, compress, seed, count = ARGV
is_typed, is_compressed, dice = form == "typed", compress == "1", Random.new(seed.to_i)
FileUtils.mkdir_p(File.join(dir, "transid"))
File.binwrite(File.join(dir, "metadata"), [1, 36, PER_FILE, FILES_PER_DIR, MAX_SIZE, BLOCK, compress.to_i].pack("S<L<L<L<Q<L<S<"))
# Where the next record goes: directory, data file, block.
at = [-1, 0, 0]

(1..count.to_i).each do |transid|
  type_no = is_typed ? dice.rand(2**32) : 0
  if is_compressed
    found = dice.bytes(LENGTHS.sample(random: dice))
    stored = Marshal.dump(Zlib::Deflate.deflate(found))
  elsif dice.rand(6).zero?
    stored = found = Marshal.dump(OBJECTS.sample(random: dice))
  else
    found = dice.bytes(LENGTHS.sample(random: dice))
    stored = Marshal.dump(found.dup.force_encoding(ENCODINGS.sample(random: dice)))
  end
  checksum = Zlib.crc32(stored)
  dir_no, index = (transid - 1) / (PER_FILE * FILES_PER_DIR), (transid - 1) / PER_FILE % FILES_PER_DIR
  at = [dir_no, 0, 0] if at[0] != dir_no
  blocks = (12 + stored.bytesize + BLOCK - 1) / BLOCK
  # The last block of a file is left, and a record that is too large has a file of its own.
  at = [dir_no, at[1] + 1, 0] if at[2] > 0 && at[2] + blocks >= MAX_SIZE / BLOCK
  place = File.join(dir, dir_no.to_s)
  FileUtils.mkdir_p(place)
  File.open(File.join(place, "data.#{at[1]}"), File::RDWR | File::CREAT | File::BINARY) do |data|
    data.seek(at[2] * BLOCK)
    data.write([transid, checksum].pack("Q<L<"), stored)
  end
  entry = if is_typed
            [transid, type_no, dir_no, at[1], at[2], stored.bytesize, checksum].pack("Q<L<L<Q<L<L<Q<")
          else
            [transid, dir_no, at[1], at[2], stored.bytesize, checksum, 0].pack("Q<L<L<Q<L<L<Q<")
          end
  File.open(File.join(place, "index.#{index}"), "ab") { |out| out.write(entry) }
  at = [dir_no, at[1], at[2] + blocks]
  puts "#{transid} #{type_no} #{found.unpack1("H*")}"
end
# How far a consumer had got.
File.binwrite(File.join(dir, "transid", "backend"), [count.to_i / 2].pack("Q<"))
