package archive

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
)

// openZipVolumes returns a zip archive in several volumes as one file for readers that know of no volumes: the volumes,
// one after the other, and behind them a copy of the central directory whose offsets count from the beginning of the
// first. The volumes are in the order of set.Volumes. Spare are those in the middle that the archive does not have: they
// are left over from a larger one.
func openZipVolumes(set VolumeSet, volumes []volume) (_ *joined, spare []volume, err error) {
	if len(volumes) == 0 {
		return nil, nil, set.missing()
	}
	before, last := volumes[:len(volumes)-1], volumes[len(volumes)-1]
	records, err := readZipEndRecords(last)
	if err != nil {
		return nil, nil, err
	}
	needed := records.volumes() - 1
	if needed < 0 {
		return nil, nil, errZipDirectory
	}
	if needed > int64(len(before)) {
		return nil, nil, set.missing()
	}
	if needed == 0 {
		return join(last), before, nil
	}
	whole := append(slices.Clone(before[:needed]), last)
	tail, err := singleVolumeDirectory(join(whole...), records)
	if err != nil {
		return nil, nil, err
	}
	whole = append(whole, volume{name: last.name, r: bytes.NewReader(tail), size: int64(len(tail))})
	return join(whole...), before[needed:], nil
}

// singleVolumeDirectory copies the central directory and its end for an archive in which the volumes are one file.
func singleVolumeDirectory(j *joined, records zipEndRecords) ([]byte, error) {
	d, err := records.directory(j)
	if err != nil {
		return nil, err
	}
	directory, err := readZipDirectory(j, j.starts[d.volume]+d.offset, d.size)
	if err != nil {
		return nil, err
	}
	moved := make([]byte, 0, len(directory))
	entries := int64(0)
	for len(directory) > 0 {
		header, rest, ok := nextCentral(directory)
		if !ok {
			break // what else there may be, such as a signature, is not copied
		}
		if moved, err = appendMoved(moved, header, j); err != nil {
			return nil, err
		}
		directory, entries = rest, entries+1
	}
	if entries != d.entries {
		return nil, errZipDirectory
	}
	return appendZipEnd(moved, j.size, entries), nil
}

// appendMoved copies a header of the central directory that is to count its offset in the joined file.
func appendMoved(directory, header []byte, j *joined) ([]byte, error) {
	at, ok := j.position(centralLocation(header))
	if !ok {
		return nil, fault(ReasonCorrupt, "the directory of the zip archive points into a volume that is not of this set")
	}
	begin := len(directory)
	if at < math.MaxUint32 {
		directory = append(directory, header...)
		binary.LittleEndian.PutUint16(directory[begin+34:], 0)
		binary.LittleEndian.PutUint32(directory[begin+42:], uint32(at))
		return directory, nil
	}
	name := zipCentralSize + le16(header, 28)
	comment := name + le16(header, 30)
	long, others := zipExtra(header[name:comment], zip64ExtraID)
	sizes := long[:zip64Sizes(header, long)]
	extra := binary.LittleEndian.AppendUint16(nil, zip64ExtraID)
	extra = binary.LittleEndian.AppendUint16(extra, uint16(len(sizes)+8))
	extra = binary.LittleEndian.AppendUint64(append(extra, sizes...), uint64(at))
	extra = append(extra, others...)
	if len(extra) > math.MaxUint16 {
		return nil, errZipDirectory
	}
	directory = append(append(append(directory, header[:name]...), extra...), header[comment:]...)
	binary.LittleEndian.PutUint16(directory[begin+30:], uint16(len(extra)))
	binary.LittleEndian.PutUint16(directory[begin+34:], 0)
	binary.LittleEndian.PutUint32(directory[begin+42:], math.MaxUint32)
	return directory, nil
}

// appendZipEnd appends the end records to a central directory that begins at an offset. They are those of zip64, whatever
// the sizes: one form for all.
func appendZipEnd(directory []byte, at, entries int64) []byte {
	const version = 45 // the first that knows zip64 (4.4.3.2)
	size := len(directory)
	b := append(directory, zip64EndMark...)
	b = binary.LittleEndian.AppendUint64(b, zip64EndSize-12)
	b = binary.LittleEndian.AppendUint16(b, version)
	b = binary.LittleEndian.AppendUint16(b, version)
	b = append(b, make([]byte, 8)...) // numbers of volumes
	b = binary.LittleEndian.AppendUint64(b, uint64(entries))
	b = binary.LittleEndian.AppendUint64(b, uint64(entries))
	b = binary.LittleEndian.AppendUint64(b, uint64(size))
	b = binary.LittleEndian.AppendUint64(b, uint64(at))

	b = append(b, zip64LocatorMark+"\x00\x00\x00\x00"...)
	b = binary.LittleEndian.AppendUint64(b, uint64(at)+uint64(size))
	b = binary.LittleEndian.AppendUint32(b, 1) // volume in all

	b = append(b, zipEndMark+"\x00\x00\x00\x00"...)
	return append(b, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"...) // see zip64; no comment
}
