// Go with encoding/csv and parquet-go: reviews as .csv.gz to one Parquet file, zstd, with the contract's types.
// Masks nothing. Usage: parquet-go SOURCE TARGET | --version
package main

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// Rows handed to the writer at once, and rows of a row group, as lakebed has them.
const (
	batchRows    = 8_192
	rowGroupRows = 65_536
)

type review struct {
	ReviewID   int64     `parquet:"review_id"`
	BreweryID  int64     `parquet:"brewery_id"`
	BeerID     int64     `parquet:"beer_id"`
	ProfileID  int64     `parquet:"profile_id"`
	Overall    int32     `parquet:"review_overall,decimal(1:2)"`
	Aroma      int32     `parquet:"review_aroma,decimal(1:2)"`
	Appearance int32     `parquet:"review_appearance,decimal(1:2)"`
	Palate     int32     `parquet:"review_palate,decimal(1:2)"`
	Taste      int32     `parquet:"review_taste,decimal(1:2)"`
	Time       time.Time `parquet:"review_time,timestamp(microsecond)"`
	Comment    *string   `parquet:"comment,optional"`
	Email      string    `parquet:"email"`
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println(version())
		return
	}
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: parquet-go SOURCE TARGET")
		os.Exit(1)
	}
	started := time.Now()
	if err := convert(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	fmt.Printf("{\"figures\": {\"inside_ms\": %f}}\n", float64(time.Since(started).Microseconds())/1e3)
}

func version() string {
	found := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/parquet-go/parquet-go" {
				found = module.Version
			}
		}
	}
	return found + ", " + runtime.Version()
}

func convert(source, target string) (err error) {
	file, err := os.Open(source)
	if err != nil {
		return err
	}
	defer file.Close()
	plain, err := gzip.NewReader(bufio.NewReaderSize(file, 1<<20))
	if err != nil {
		return err
	}
	reader := csv.NewReader(plain)
	reader.ReuseRecord = true
	if _, err := reader.Read(); err != nil {
		return err
	}
	output, err := os.Create(target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, output.Close()) }()
	buffered := bufio.NewWriterSize(output, 1<<20)
	writer := parquet.NewGenericWriter[review](buffered,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}), parquet.MaxRowsPerRowGroup(rowGroupRows))
	rows := make([]review, 0, batchRows)
	flush := func() error {
		_, err := writer.Write(rows)
		rows = rows[:0]
		return err
	}
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		row, err := parse(record)
		if err != nil {
			return err
		}
		if rows = append(rows, row); len(rows) == batchRows {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return errors.Join(flush(), writer.Close(), buffered.Flush())
}

func parse(record []string) (row review, err error) {
	for at, field := range []*int64{&row.ReviewID, &row.BreweryID, &row.BeerID, &row.ProfileID} {
		if *field, err = strconv.ParseInt(record[at], 10, 64); err != nil {
			return row, errors.New("a number is not one")
		}
	}
	for at, field := range []*int32{&row.Overall, &row.Aroma, &row.Appearance, &row.Palate, &row.Taste} {
		if *field, err = tenths(record[4+at]); err != nil {
			return row, err
		}
	}
	if row.Time, err = time.Parse(time.RFC3339Nano, record[9]); err != nil {
		return row, errors.New("a moment is not one")
	}
	if record[10] != "" {
		comment := record[10]
		row.Comment = &comment
	}
	row.Email = record[11]
	return row, nil
}

// tenths reads "4.5" as 45.
func tenths(text string) (int32, error) {
	if len(text) != 3 || text[1] != '.' || text[0] < '0' || text[0] > '9' || text[2] < '0' || text[2] > '9' {
		return 0, errors.New("a score is not one")
	}
	return int32(text[0]-'0')*10 + int32(text[2]-'0'), nil
}
