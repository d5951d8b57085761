#!/bin/bash
# Builds a corpus of English text from Debian packages: dictionaries, books and manuals, some 200 MB in minutes.
#
#   examples/corpus.sh OUT               all packages of the list below
#   examples/corpus.sh OUT dict-gcide    some of them
#
# Nothing is installed: packages are downloaded (apt-get download checks their signatures), unpacked aside and thrown away.
# OUT/text/PACKAGE/ then holds a text file for each document; OUT/SHA256SUMS has the hash of every file, for sha256sum -c, and
# OUT/manifest.json packages, versions and sizes. A paragraph that was seen before, in any package, is left out. The same
# packages give the same bytes.
#
# Then: prepare --tokenizer bpe:16384 --out OUT/tokens OUT/text, or pretrain --data OUT/text.
set -euo pipefail
export LC_ALL=C

packages=(
  dict-gcide dict-wn dict-foldoc dict-jargon dict-devil
  fortunes anarchism
  linux-doc-6.1 python3.11-doc perl-doc postgresql-doc-15 python-django-doc libreoffice-help-en-us git-doc apache2-doc
  cppreference-doc-en-html rust-doc octave-doc debian-reference-en vim-doc bash-doc r-doc-html manpages manpages-dev
)

usage() {
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
  exit "${1:-2}"
}
case ${1:-} in
  -h | --help) usage 0 ;;
  '' | -*) usage >&2 ;;
esac
for tool in apt-get dpkg-deb perl sha256sum; do
  command -v $tool > /dev/null || { echo "corpus.sh: there is no $tool" >&2; exit 1; }
done
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
if [ $# -gt 0 ]; then packages=("$@"); fi
[ ! -e "$out/text" ] || { echo "corpus.sh: $out/text is there already: name another folder, or remove it" >&2; exit 1; }
work=$(mktemp -d "$out/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/text"

# Turns the files named on standard input, "path TAB name", into text files below a folder, and prints the count of documents
# and bytes. `seen` keeps the hashes of paragraphs from one package to the next.
cat > "$work/clean.pl" << 'PERL'
use strict; use warnings; use Digest::MD5 'md5';
my ($folder, $seen_file) = @ARGV;
my (%seen, $documents, $bytes);
($documents, $bytes) = (0, 0);
if (open my $in, '<:raw', $seen_file) { local $/ = \8; while (my $hash = <$in>) { $seen{$hash} = 1 } }
open my $kept, '>>:raw', $seen_file or die "$seen_file: $!";

my %named = (lt => '<', gt => '>', amp => '&', quot => '"', apos => "'", nbsp => ' ', mdash => "\x{2014}",
  ndash => "\x{2013}", hellip => "\x{2026}", ldquo => "\x{201c}", rdquo => "\x{201d}", lsquo => "\x{2018}",
  rsquo => "\x{2019}", copy => "\x{a9}", laquo => "\x{ab}", raquo => "\x{bb}", para => '', shy => '');
sub character { my $n = shift; $n > 31 && $n < 0xd800 ? chr $n : ' ' }

sub from_html {
  my $t = shift;
  $t =~ s/<!--.*?-->//gs;
  $t =~ s/<(script|style|head|nav|header|footer|svg|form|button)\b.*?<\/\1\s*>//gsi;
  my @pre;
  $t =~ s/<pre\b[^>]*>(.*?)<\/pre>/push @pre, $1; "\n\n\x01$#pre\x01\n\n"/gsie;
  $t =~ s/\s+/ /g;
  $t =~ s/<(br|tr|li|dt|dd)\b[^>]*>/\n/gi;
  $t =~ s/<\/?(p|div|h[1-6]|ul|ol|dl|table|section|article|blockquote|main)\b[^>]*>/\n\n/gi;
  $t =~ s/\x01(\d+)\x01/$pre[$1]/g;
  $t =~ s/<[^<>]*>//g;
  $t =~ s/&#x([0-9a-f]{1,6});/character(hex $1)/gie;
  $t =~ s/&#(\d{1,7});/character($1)/ge;
  $t =~ s/&([a-z]+);/exists $named{$1} ? $named{$1} : ' '/gie;
  return $t;
}

sub from_man {
  my $t = shift;
  $t =~ s/^[.']\s*\\".*\n//gm;
  $t =~ s/^\.S[HS]\s+"?(.*?)"?\s*$/\n\n$1\n\n/gm;
  $t =~ s/^\.(TP|PP|P|LP|IP|HP|sp)\b.*$/\n/gm;
  $t =~ s/^\.(B|I|BR|IR|RB|RI|BI|IB|SM)\s+(.*)$/my $x = $2; $x =~ s{"}{}g; $x/gem;
  $t =~ s/^\..*\n//gm;
  $t =~ s/\\f[BIRP1-4]|\\f\(..|\\[&%|^\/,]//g;
  $t =~ s/\\\((em|en|hy)/-/g;
  $t =~ s/\\-/-/g;
  $t =~ s/\\\(aq/'/g;
  $t =~ s/\\e/\\/g;
  $t =~ s/\\\(..|\\\[[^\]]*\]|\\s[-+]?\d//g;
  return $t;
}

sub from_pod {
  my $t = shift;
  $t =~ s/^=(begin|for)\b.*?(^=(end|cut)\b.*?$|\n\n)//gms;
  $t =~ s/^=(head\d|item)[ \t]*(.*)$/$2/gm;
  $t =~ s/^=\w+.*$//gm;
  $t =~ s/[BICFLSX]<+\s?([^<>]*?)\s?>+/$1/g for 1 .. 3;
  $t =~ s/E<lt>/</g;
  $t =~ s/E<gt>/>/g;
  return $t;
}

# Paragraphs that were not there before; none that is mostly no letters.
sub unseen {
  my ($text) = @_;
  my @keep;
  for my $p (split /\n[ \t]*\n+/, $text) {
    $p =~ s/[ \t\r\f]+$//gm;
    $p =~ s/^\n+|\n+$//g;
    my $letters = $p =~ tr/A-Za-z//;
    next if $letters < 3 || 2 * $letters < length $p;
    if (length $p > 30) {
      (my $key = lc $p) =~ s/\W+//g;
      utf8::encode($key);
      my $hash = substr md5($key), 0, 8;
      next if $seen{$hash}++;
      print $kept $hash;
    }
    push @keep, $p;
  }
  return join "\n\n", @keep;
}

while (my $line = <STDIN>) {
  chomp $line;
  my ($path, $name) = split /\t/, $line;
  my $in;
  my $open = $path =~ /\.(gz|dz)$/ ? open($in, '-|', 'gzip', '-S', '.dz', '-dc', $path) : open($in, '<', $path);
  die "$path: $!" unless $open;
  binmode $in;
  my $text = do { local $/; <$in> } // '';
  close $in;
  next if $text =~ /\0/;
  utf8::decode($text);
  (my $kind = $path) =~ s/\.(gz|dz)$//;
  if ($kind =~ /\.x?html?(\.en)?$/) { $text = from_html($text) }
  elsif ($kind =~ /\.pod$/) { $text = from_pod($text) }
  elsif ($kind =~ /\.\d[a-z]*$/) { $text = from_man($text) }
  $text = unseen($text);
  next if length $text < 200;
  utf8::encode($text);
  open my $to, '>:raw', "$folder/$name.txt" or die "$folder/$name.txt: $!";
  print $to $text, "\n";
  close $to or die "$folder/$name.txt: $!";
  $documents++;
  $bytes += 1 + length $text;
}
close $kept or die "$seen_file: $!";
print "$documents $bytes\n";
PERL

# The files of a package that are English prose, or nearly.
documents() {  # documents FOLDER
  find "$1/usr" -type f \( -name '*.html' -o -name '*.htm' -o -name '*.html.en' -o -name '*.xhtml' -o -name '*.txt' \
    -o -name '*.txt.gz' -o -name '*.html.gz' -o -name '*.pod' -o -name '*.dict.dz' -o -path '*/share/man/man*' \
    -o -path '*/games/fortunes/*' -o -path '*/share/perl/*.pod' \) ! -name '*.dat' ! -name '*.u8' ! -name 'genindex*' \
    ! -name 'search*' ! -name '*-all.html' ! -name 'all.html' ! -name 'changelog*' ! -name 'copyright*' \
    ! -path '*/_sources/*' ! -path '*/src/*' ! -path '*/man/man3/*' ! -path '*/implementors/*' ! -path '*/trait.impl/*' |
    sort | awk -v root="$1/usr/" '{
      name = substr($0, length(root) + 1)
      sub(/^share\/doc\/|^share\//, "", name)
      sub(/\.(gz|dz)$/, "", name)
      gsub(/[^A-Za-z0-9.]+/, "-", name)
      if (length(name) > 200) name = substr(name, length(name) - 199)
      print $0 "\t" name
    }'
}

start=$SECONDS
entries=()
total=0
for package in "${packages[@]}"; do
  began=$SECONDS
  rm -rf "$work/deb" "$work/files"
  mkdir "$work/deb" "$work/files" "$work/text/$package"
  (cd "$work/deb" && apt-get -q download "$package") > "$work/log" 2>&1 || {
    echo "corpus.sh: cannot download $package (apt-get update may help); it is left out:" >&2
    tail -n 3 "$work/log" >&2
    continue
  }
  deb=$(echo "$work"/deb/*.deb)
  version=$(dpkg-deb -f "$deb" Version)
  hash=$(sha256sum < "$deb")
  dpkg-deb -x "$deb" "$work/files"
  read -r count bytes < <(documents "$work/files" | perl "$work/clean.pl" "$work/text/$package" "$work/seen")
  if [ "${count:-0}" -eq 0 ]; then
    echo "corpus.sh: $package holds no text that was not there before" >&2
    rm -rf "$work/text/$package"
    continue
  fi
  entries+=("    {\"package\": \"$package\", \"version\": \"$version\", \"sha256\": \"${hash%% *}\", \"documents\": $count, \"bytes\": $bytes}")
  total=$((total + bytes))
  printf '%-26s %6d documents  %6.1f MB  %3d s\n' "$package" "$count" "$(awk -v b="$bytes" 'BEGIN { print b / 1e6 }')" \
    $((SECONDS - began))
done

[ "$total" -gt 0 ] || { echo "corpus.sh: there is no text" >&2; exit 1; }
(cd "$work" && find text -type f -print0 | sort -z | xargs -0 sha256sum) > "$work/SHA256SUMS"
hash=$(sha256sum < "$work/SHA256SUMS")
{
  printf '{\n  "bytes": %d,\n  "sha256sums": "%s",\n  "packages": [\n' "$total" "${hash%% *}"
  for i in "${!entries[@]}"; do
    printf '%s%s\n' "${entries[$i]}" "$([ "$i" -eq $((${#entries[@]} - 1)) ] || echo ,)"
  done
  printf '  ]\n}\n'
} > "$work/manifest.json"
mv "$work/manifest.json" "$work/SHA256SUMS" "$out"
mv "$work/text" "$out"
awk -v b=$total -v s=$((SECONDS - start)) -v o="$out" 'BEGIN { printf "%.1f MB of text in %s/text, %d s\n", b / 1e6, o, s }'
